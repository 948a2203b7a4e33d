# SPDX-License-Identifier: GPL-3.0-or-later
# A base image as one writes it down: packages on top of what mmdebstrap gives, package lists removed.
ARG BASE
FROM ${BASE} AS common
ENV DEBIAN_FRONTEND=noninteractive

FROM common AS python
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_BREAK_SYSTEM_PACKAGES=1

FROM common AS nginx
RUN apt-get update && apt-get install -y --no-install-recommends nginx && rm -rf /var/lib/apt/lists/*

FROM common AS node
ADD https://registry.npmjs.org/npm/-/npm-10.9.4.tgz /tmp/npm.tgz
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates nodejs && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /usr/local/lib/node_modules/npm \
    && tar -xzf /tmp/npm.tgz -C /usr/local/lib/node_modules/npm --strip-components=1 \
    && ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && rm /tmp/npm.tgz
