#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Starts PostgreSQL; on an empty PGDATA it first makes the cluster, the database and what /docker-entrypoint-initdb.d asks for.
#
# PGDATA holds a file called .first-start-unfinished from before initdb until the last script has run and the server has
# stopped cleanly. A container killed in between leaves it there, and the next start throws the half-made cluster away and
# begins again: no client was ever served from it (the server of the first start listens on a private socket only).
set -Eeuo pipefail

unfinished="$PGDATA/.first-start-unfinished"
init_socket=/var/run/postgresql/first-start

say() {
    printf 'postgres entrypoint: %s\n' "$*" >&2
}

fail() {
    say "error: $*"
    exit 1
}

# setting NAME DEFAULT: exports NAME from NAME, from the file that NAME_FILE names, or from DEFAULT.
setting() {
    local name=$1 file_name="${1}_FILE" default=$2
    if [[ -n ${!name-} && -n ${!file_name-} ]]; then
        fail "both $name and $file_name are set: keep one"
    fi
    if [[ -n ${!file_name-} ]]; then
        [[ -r ${!file_name} ]] || fail "$file_name: ${!file_name} is not readable by uid $(id -u)"
        printf -v "$name" '%s' "$(<"${!file_name}")"
    else
        printf -v "$name" '%s' "${!name:-$default}"
    fi
    export "${name?}"
}

read_settings() {
    setting POSTGRES_PASSWORD ''
    setting POSTGRES_USER postgres
    setting POSTGRES_DB "$POSTGRES_USER"
    setting POSTGRES_INITDB_ARGS ''
    setting POSTGRES_HOST_AUTH_METHOD scram-sha-256
    if [[ -z $POSTGRES_PASSWORD && $POSTGRES_HOST_AUTH_METHOD != trust ]]; then
        fail "PGDATA is empty and the superuser has no password: set POSTGRES_PASSWORD_FILE (or POSTGRES_PASSWORD)"
    fi
    if [[ $POSTGRES_HOST_AUTH_METHOD == trust ]]; then
        say "warning: POSTGRES_HOST_AUTH_METHOD=trust lets everyone who reaches the port in without a password"
    fi
}

prepare_directory() {
    local stranger
    mkdir -p "$PGDATA" && [[ -w $PGDATA ]] ||
        fail "PGDATA ($PGDATA) is not writable by uid $(id -u): give the directory to $(id -u):$(id -g)"
    if [[ -e $unfinished ]]; then
        say "an earlier first start did not finish: beginning again"
    elif stranger=$(find "$PGDATA" -mindepth 1 -print -quit) && [[ -n $stranger ]]; then
        fail "PGDATA ($PGDATA) is neither empty nor a PostgreSQL cluster: it holds $stranger"
    fi
    touch "$unfinished"
    find "$PGDATA" -mindepth 1 ! -path "$unfinished" -delete
    chmod 0700 "$PGDATA"
}

# The builtin C.UTF-8 collation is PostgreSQL's own: indexes survive a change of the image's C library.
make_cluster() {
    local cluster="$PGDATA/.new" arguments=() password_file=()
    mapfile -t arguments < <(xargs -r -n1 printf '%s\n' <<<"$POSTGRES_INITDB_ARGS")
    if [[ -n $POSTGRES_PASSWORD ]]; then
        # The password travels through a pipe: it is in no argument list and in no file.
        exec {password}< <(printf '%s\n' "$POSTGRES_PASSWORD")
        password_file=(--pwfile="/dev/fd/$password")
    fi
    initdb --pgdata="$cluster" --username="$POSTGRES_USER" "${password_file[@]}" \
        --encoding=UTF8 --locale=C.UTF-8 --locale-provider=builtin --builtin-locale=C.UTF-8 \
        --auth-local=trust --auth-host="$POSTGRES_HOST_AUTH_METHOD" "${arguments[@]}"
    printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >>"$cluster/pg_hba.conf"
    find "$cluster" -mindepth 1 -maxdepth 1 -exec mv -t "$PGDATA" {} +
    rmdir "$cluster"
}

run_sql() {
    psql --no-psqlrc --no-password --quiet -v ON_ERROR_STOP=1 --username="$POSTGRES_USER" "$@"
}

run_init_scripts() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sh)
                say "running $file"
                if [[ -x $file ]]; then
                    "$file"
                else
                    set +u
                    # shellcheck source=/dev/null
                    . "$file"
                    set -u
                fi
                ;;
            *.sql)
                say "running $file"
                run_sql --dbname="$POSTGRES_DB" --file="$file"
                ;;
            *.sql.gz)
                say "running $file"
                gunzip --stdout "$file" | run_sql --dbname="$POSTGRES_DB"
                ;;
            */\*) ;;
            *) say "ignoring $file (neither .sh, .sql nor .sql.gz)" ;;
        esac
    done
}

# first_start ARGUMENTS-OF-POSTGRES...
first_start() {
    read_settings
    prepare_directory
    make_cluster

    rm -rf "$init_socket"
    mkdir -m 0700 "$init_socket"
    local arguments=("$@" -c listen_addresses= -c "unix_socket_directories=$init_socket" -p 5432)
    pg_ctl --pgdata="$PGDATA" --wait --silent --options="${arguments[*]@Q}" start
    export PGHOST=$init_socket PGPASSWORD=$POSTGRES_PASSWORD
    if [[ $POSTGRES_DB != postgres ]]; then
        run_sql --dbname=postgres -v name="$POSTGRES_DB" <<<'CREATE DATABASE :"name"'
    fi
    run_init_scripts
    pg_ctl --pgdata="$PGDATA" --wait --silent --mode=fast stop

    rm -r "$init_socket"
    sync --file-system "$PGDATA"
    rm "$unfinished"
    say "first start finished"
}

if [[ ${1-} == -* ]]; then
    set -- postgres "$@"
fi
if [[ ${1-} != postgres ]]; then
    exec "$@"
fi
for argument in "${@:2}"; do
    case $argument in
        # Questions about the program itself need no cluster.
        --help | '-?' | --version | -V | --describe-config) exec "$@" ;;
    esac
done

if [[ ! -s $PGDATA/PG_VERSION || -e $unfinished ]]; then
    # In the background, so that a signal ends the container at once and not after the running script.
    trap 'exit 130' INT
    trap 'exit 143' TERM
    first_start "${@:2}" &
    wait $!
    trap - INT TERM
fi
exec "$@"
