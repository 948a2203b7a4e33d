# SPDX-License-Identifier: GPL-3.0-or-later
FROM python:3.13-slim AS build
WORKDIR /app
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never \
    SSL_CERT_FILE=/run/secrets/ca_bundle PIP_CERT=/run/secrets/ca_bundle
RUN --mount=type=secret,id=ca_bundle --mount=type=cache,target=/root/.cache \
    python -m venv /opt/uv && /opt/uv/bin/pip install uv
COPY pyproject.toml uv.lock ./
RUN --mount=type=secret,id=ca_bundle --mount=type=cache,target=/root/.cache \
    /opt/uv/bin/uv sync --locked --no-dev

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home app
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
COPY --from=build /app/.venv .venv
COPY . .
USER app
EXPOSE 8000
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--proxy-headers"]
