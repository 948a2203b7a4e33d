-- SPDX-License-Identifier: GPL-3.0-or-later
-- Runs once, as superuser, when PostgreSQL initialises its volume (/docker-entrypoint-initdb.d).
-- Suggestions compare names by trigrams. With the extension in place before the first
-- migration, the role of the application needs no right to create extensions.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
