# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that let the application be imported. Nothing listens at these addresses."""

import os

os.environ["DATABASE_URL"] = "postgresql://nobody:nothing@127.0.0.1:9/none"
os.environ["REDIS_URL"] = "redis://127.0.0.1:9/0"
os.environ["SECRET_KEY"] = "unit-tests-only-not-a-secret"
