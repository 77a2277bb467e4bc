#!/bin/sh
# The steps of the image, one after the other. The Dockerfile calls them, and so can anybody else on a Debian system:
#
#   steps.sh tools                   installs what the others need (as root)
#   steps.sh root SOURCE FOLDER      makes the image's root file system in FOLDER, of the project in SOURCE
#   steps.sh contents FOLDER         tells what is in it, as a table
#
# By the environment:
#   COMPILED       true: the hot path is machine code (needs a C compiler)         [true]
#   EXTRAS         the project's extras that are installed, with commas in between [patterns,redis]
#   CONSTRAINTS    a file that pins the versions of Python packages; empty: newest [constraints.txt beside this file]
#   PYTHON         Debian's Python, which the image gets                           [python3]
#   PIP            a pip that can install for it                                   [made on the way]
#
# What is taken from Debian are the packages of Python, the libraries that something in the image is linked with, and the
# certificates of authorities; as they are installed here, so that updates come with the base image. No shell, no package manager.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
compiled=${COMPILED:-true}
extras=${EXTRAS-patterns,redis}
constraints=${CONSTRAINTS-$here/constraints.txt}
python=${PYTHON:-/usr/bin/python3}
prefix=/opt/llm-sidecar
user=65532

# Modules of the standard library that nobody needs here: some need libraries of their own, most are for developers.
unused='curses dbm ensurepip idlelib lib2to3 msilib pydoc_data sqlite3 test tkinter turtle.py turtledemo venv
    lib-dynload/_curses*.so lib-dynload/_dbm*.so lib-dynload/_gdbm*.so lib-dynload/_sqlite3*.so lib-dynload/_crypt*.so
    lib-dynload/_lsprof*.so lib-dynload/_test*.so lib-dynload/_xx*.so lib-dynload/_ctypes_test*.so
    lib-dynload/audioop*.so lib-dynload/nis*.so lib-dynload/ossaudiodev*.so lib-dynload/readline*.so lib-dynload/xx*.so'

install_tools() {
    packages='ca-certificates python3 python3-venv'
    if [ "$compiled" = true ]; then packages="$packages gcc libc6-dev python3-dev"; fi
    apt-get update -qq
    # shellcheck disable=SC2086  # a list
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
    rm -rf /var/lib/apt/lists/*
}

# The project and what it needs, below $prefix of the root: a virtual environment without pip, which knows where it will be.
install_project() {
    source=$1 root=$2 pip=${PIP:-}
    if [ -z "$pip" ]; then
        "$python" -m venv "$scratch/pip"
        pip="$scratch/pip/bin/python -m pip"
    fi
    "$python" -m venv --without-pip --symlinks "$root$prefix"
    set -- --quiet --disable-pip-version-check --no-cache-dir --no-compile
    if [ -n "$constraints" ]; then set -- "$@" --constraint "$constraints"; fi
    # shellcheck disable=SC2086  # a program and its arguments
    HATCH_BUILD_HOOK_ENABLE_MYPYC=$compiled $pip --python "$root$prefix/bin/python" install "$@" "$source${extras:+[$extras]}"
    interpreter=$(readlink -f "$python")
    printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = %s\n' "$version" >"$root$prefix/pyvenv.cfg"
    find "$root$prefix/bin" -mindepth 1 ! -name llm-sidecar -delete
    rm -rf "$root$prefix/include" "$root$prefix/lib64"
    ln -s "/usr/bin/${interpreter##*/}" "$root$prefix/bin/python"
    sed -i "1s|.*|#!$prefix/bin/python|" "$root$prefix/bin/llm-sidecar"
    # What debuggers, compilers and type checkers read runs nothing.
    if command -v strip >/dev/null; then find "$root$prefix/lib" -name '*.so*' -type f -exec strip --strip-unneeded {} +; fi
    find "$root$prefix/lib" -type f \( -name '*.c' -o -name '*.cpp' -o -name '*.h' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.pyx' \) -delete
}

# Prints the packages of Debian that the image needs.
list_packages() {
    root=$1
    name=python$version
    printf '%s\n' base-files ca-certificates "$name-minimal" "lib$name-minimal" "lib$name-stdlib"
    {
        readlink -f "$python"
        dpkg -L "lib$name-minimal" "lib$name-stdlib" | grep '\.so$' | grep_used
        find "$root$prefix" -name '*.so*' -type f
    } | xargs ldd 2>/dev/null | sed -n 's|.*=> \(/[^ ]*\) .*|\1|p; s|^[[:space:]]*\(/lib[^ ]*ld-linux[^ ]*\) .*|\1|p' | grep -v "^$root" | sort -u |
        while read -r library; do
            library=$(readlink -f "$(dirname "$library")")/${library##*/}
            dpkg -S "*${library#/usr}" | grep -v '^diversion' | cut -d: -f1
        done
}

# Lets only those files of the standard library through that stay.
grep_used() {
    patterns=$(for name in $unused; do printf '|%s' "$name" | sed 's/\./\\./g; s/\*/.*/g'; done)
    grep -Ev "/python3[.0-9]*/(${patterns#|})(/|\$)"
}

# The files of packages, without what people read; licences stay.
copy_packages() {
    root=$1; shift
    for folder in bin lib lib64 sbin; do
        if [ -L "/$folder" ]; then mkdir -p "$root/usr/$folder" && ln -sfn "usr/$folder" "$root/$folder"; fi
    done
    dpkg -L "$@" | sort -u | grep_used | grep -Ev '^/usr/share/(doc/[^/]*/[^c]|lintian|locale|man|info|bug|python|pixmaps|applications)|/__pycache__|/gconv/|^/usr/sbin/|^/etc/(alternatives|cron|update-motd\.d|motd|issue|skel|profile)' |
        while read -r path; do if [ ! -d "$path" ] || [ -L "$path" ]; then printf '%s\n' "$path"; fi; done |
        while read -r path; do if [ -e "$path" ] || [ -L "$path" ]; then printf '%s\n' "$path"; fi; done |
        sed 's|^/||' | tar -C / -c --no-recursion -T - | tar -C "$root" -x --keep-directory-symlink
    mkdir -p "$root/var/lib/dpkg/status.d"
    for package in "$@"; do
        dpkg-query -s "$package" >"$root/var/lib/dpkg/status.d/$package"
        cat /var/lib/dpkg/info/"$package".md5sums /var/lib/dpkg/info/"$package":*.md5sums 2>/dev/null >"$root/var/lib/dpkg/status.d/$package.md5sums" || true
    done
}

# What a container needs to be one, and the folders of the sidecar's own.
write_system() {
    root=$1
    mkdir -p "$root/etc/ssl" "$root/usr/lib/ssl" "$root/dev" "$root/proc" "$root/sys"
    printf 'root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nnonroot:x:%s:%s:nonroot:/nonexistent:/usr/sbin/nologin\n' $user $user >"$root/etc/passwd"
    printf 'root:x:0:\nnonroot:x:%s:\n' $user >"$root/etc/group"
    printf 'passwd: files\ngroup: files\nhosts: files dns\nservices: files\n' >"$root/etc/nsswitch.conf"
    # Looked up one by one, by the hash of their names: a bundle would be read whole into each process, two megabytes.
    cp -a /etc/ssl/certs "$root/etc/ssl/"
    ln -sfn /etc/ssl/certs "$root/usr/lib/ssl/certs"
    ldconfig -r "$root"
    install -d -m 755 "$root/etc/llm-sidecar" "$root/run/secrets/llm-sidecar"
    install -d -m 750 -o $user -g $user "$root/var/lib/llm-sidecar"
}

# Without docstrings (level 2), which take a twentieth of the memory, and never checked against the sources: nothing changes here.
compile_python() {
    root=$1
    "$python" -m compileall -q -j 0 -o 2 --invalidation-mode unchecked-hash -s "$root" -p / "$root/usr/lib/python$version" "$root$prefix/lib"
}

make_root() {
    source=$1 root=$2
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    umask 022
    mkdir -p "$root"
    install_project "$source" "$root"
    # shellcheck disable=SC2046  # a list
    copy_packages "$root" $(list_packages "$root" | sort -u)
    write_system "$root"
    compile_python "$root"
}

case "${1:-}" in
    tools) install_tools ;;
    root) make_root "$(cd "$2" && pwd)" "$(mkdir -p "$3" && cd "$3" && pwd)" ;;
    contents) "$python" "$here/contents.py" "$2" ;;
    *) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
