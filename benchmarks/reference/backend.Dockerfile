# SPDX-License-Identifier: GPL-3.0-or-later
# The production Dockerfile of the reference document, changed only where it has to be to work today on a Debian base:
# names of the base images, Debian's name of site-packages, Debian's own Python packages out of pip's way, `--only main`
# for the removed `--no-dev`, no root package, uvicorn started as a module (its script is not among what is copied), and
# the CA bundle as a build secret.
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE} AS builder
WORKDIR /app
RUN --mount=type=secret,id=ca_bundle PIP_CERT=/run/secrets/ca_bundle pip install --ignore-installed poetry
COPY pyproject.toml poetry.lock ./
RUN --mount=type=secret,id=ca_bundle poetry config virtualenvs.create false \
    && REQUESTS_CA_BUNDLE=/run/secrets/ca_bundle poetry install --only main --no-root --no-interaction

FROM ${PYTHON_IMAGE}
WORKDIR /app
COPY --from=builder /usr/local/lib/python3.13/dist-packages /usr/local/lib/python3.13/dist-packages
COPY ./app ./app
EXPOSE 8000
CMD ["python3", "-m", "uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"]
