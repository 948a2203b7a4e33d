# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a dump's script makes the database itself. The script is that of pg_restore 17."""

from __future__ import annotations

from ansible_collections.shipshape.stack.plugins.module_utils import _restore

SCRIPT = """\
-- Name: shop; Type: DATABASE; Schema: -; Owner: shop
SET default_tablespace = '';
CREATE DATABASE shop WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C.UTF-8';
ALTER DATABASE shop OWNER TO shop;
\\connect shop
ALTER DATABASE shop SET search_path TO 'public', 'Odd one';
ALTER ROLE reader IN DATABASE shop SET work_mem TO '8MB';
REVOKE CONNECT,TEMPORARY ON DATABASE shop FROM PUBLIC;
ALTER TABLE public.shop OWNER TO shop;
GRANT SELECT ON TABLE public.item TO reader;
ALTER DATABASE shopping SET work_mem TO '8MB';
"""


def test_statements_of_the_database_get_its_new_name() -> None:
    assert _restore.of_database(SCRIPT, "shop", "shop_restoring") == [
        "CREATE DATABASE \"shop_restoring\" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc"
        " LOCALE = 'C.UTF-8';",
        'ALTER DATABASE "shop_restoring" OWNER TO shop;',
        "ALTER DATABASE \"shop_restoring\" SET search_path TO 'public', 'Odd one';",
        "ALTER ROLE reader IN DATABASE \"shop_restoring\" SET work_mem TO '8MB';",
        'REVOKE CONNECT,TEMPORARY ON DATABASE "shop_restoring" FROM PUBLIC;',
    ]


def test_name_that_has_to_be_quoted_is_found() -> None:
    assert _restore.of_database('ALTER DATABASE "my-shop" OWNER TO shop;', "my-shop", "x") == [
        'ALTER DATABASE "x" OWNER TO shop;'
    ]
