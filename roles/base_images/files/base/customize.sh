#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# mmdebstrap runs this last. $1: the new root. What dpkg.cfg excludes was unpacked for the first packages already:
# filtering there would take mmdebstrap ten seconds longer.
set -eu
cd "$1"
rm -rf usr/share/man/* usr/share/info/* usr/share/locale/* usr/share/lintian usr/share/bug usr/share/bash-completion \
    usr/lib/*/gconv
find usr/share/doc -type f ! -name copyright -delete
rm -f var/cache/debconf/*-old var/lib/dpkg/*-old
