#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs on a test host: makes a signed apt repository in the shape of Docker's own and serves it on
# http://127.0.0.1:8000/linux. Its packages are Debian's under Docker's names, with a version that Debian does not have.
set -euo pipefail

version=5:27.5.1-1~debian.13~trixie
repository=/srv/upstream/linux/debian
lists=$repository/dists/trixie/stable/binary-$(dpkg --print-architecture)
mkdir -p "$repository/pool" "$lists" /srv/upstream/work
cd /srv/upstream/work

apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends apt-utils gnupg >/dev/null

# repack NAME VERSION DEPENDS PACKAGE...: Debian's PACKAGE, with the files of further ones, as NAME.
repack() {
  local name=$1 version=$2 depends=$3 package
  shift 3
  apt-get download -qq "$@"
  for package in "$@"; do
    dpkg-deb --extract "$package"_*.deb "$name"
  done
  dpkg-deb --control "$1"_*.deb "$name/DEBIAN"
  # Only what a package has to say of itself: its relations are to Debian's names.
  sed -ni '/^\(Architecture\|Maintainer\|Description\):/p' "$name/DEBIAN/control"
  sed -i "1i Package: $name\nVersion: $version${depends:+\nDepends: $depends}" "$name/DEBIAN/control"
  dpkg-deb --root-owner-group -Znone --build "$name" "$repository/pool" >/dev/null
}
repack containerd.io 1.7.25-1 'libseccomp2' containerd runc
repack docker-ce-cli "$version" '' docker-cli
repack docker-ce "$version" 'containerd.io, docker-ce-cli, iptables' docker.io
repack docker-buildx-plugin 0.20.0-1~debian.13~trixie '' docker-buildx
repack docker-compose-plugin 2.32.4-1~debian.13~trixie '' docker-compose

cd "$repository"
apt-ftparchive packages pool >"$lists/Packages"
apt-ftparchive -o APT::FTPArchive::Release::Suite=trixie -o APT::FTPArchive::Release::Components=stable \
  release dists/trixie >Release
mv Release dists/trixie/Release
export GNUPGHOME=/srv/upstream/gnupg
mkdir -m 0700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-generate-key 'upstream@example.com' ed25519 sign never
gpg --batch --quiet --clearsign --output dists/trixie/InRelease dists/trixie/Release
gpg --armor --output ./gpg --export
systemd-run --unit upstream --working-directory /srv/upstream --quiet python3 -m http.server --bind 127.0.0.1 8000
