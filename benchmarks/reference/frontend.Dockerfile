# SPDX-License-Identifier: GPL-3.0-or-later
# The production Dockerfile of the reference document, changed only where it has to be to work today on a Debian base:
# names of the base images, the name of pnpm's lock file, the pnpm the application asks for, and the CA bundle as a
# build secret.
ARG NODE_IMAGE
ARG NGINX_IMAGE
FROM ${NODE_IMAGE} AS builder
ARG PNPM
WORKDIR /app
ENV NODE_EXTRA_CA_CERTS=/run/secrets/ca_bundle CI=true
RUN --mount=type=secret,id=ca_bundle npm install -g ${PNPM}
COPY package.json pnpm-lock.yaml ./
RUN --mount=type=secret,id=ca_bundle pnpm install --frozen-lockfile
COPY . .
RUN pnpm build

FROM ${NGINX_IMAGE}
COPY --from=builder /app/dist /usr/share/nginx/html
COPY nginx.conf /etc/nginx/conf.d/default.conf
EXPOSE 80
CMD ["nginx", "-g", "daemon off;"]
