# SPDX-License-Identifier: GPL-3.0-or-later
FROM node:22-slim AS build
WORKDIR /app
ENV CI=true NODE_EXTRA_CA_CERTS=/run/secrets/ca_bundle
COPY package.json pnpm-lock.yaml ./
RUN --mount=type=secret,id=ca_bundle --mount=type=cache,target=/root/.npm \
    npm install --global "$(node --print 'require("./package.json").packageManager')"
RUN --mount=type=secret,id=ca_bundle --mount=type=cache,target=/root/.local/share/pnpm/store \
    pnpm install --frozen-lockfile
COPY . .
RUN pnpm build

FROM nginx:1.29
COPY --from=build /app/dist /usr/share/nginx/html
