#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# mmdebstrap runs this after unpacking the essential packages, before any package is configured. $1: the new root.
set -eu
recipe=$(dirname "$0")
install -m 0644 "$recipe/dpkg.cfg" "$1/etc/dpkg/dpkg.cfg.d/shipshape"
