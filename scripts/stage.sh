#!/usr/bin/env bash
# Lays out what an installation consists of. The one place that says what goes where: the Debian package (deb.sh) and the
# installation without dpkg (install.sh) both take it from here.
#
#   scripts/stage.sh BIN ROOT PREFIX     the binary BIN with everything around it, below ROOT, for the prefix PREFIX
#
# BIN is run once, for its manual pages and completions. The configuration goes to ROOT/etc/gatewatch.
. "$(dirname "$0")/common.sh"
[ $# = 3 ] || { sed -n '2,/^\. /{/^\. /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
bin=$1 root=$2 prefix=$3
share=$root$prefix/share
doc=$share/doc/gatewatch
umask 022

put() { # MODE FROM TO
    install -D -m "$1" "$2" "$3"
}
# A text with the binary's place in it.
placed() {
    put 0644 "$1" "$2"
    sed -i "s:/usr/bin/gatewatch:$prefix/bin/gatewatch:g; s:/usr/share/:$prefix/share/:g" "$2"
}

put 0755 "$bin" "$root$prefix/bin/gatewatch"
placed packaging/gatewatch.yaml "$root/etc/gatewatch/gatewatch.yaml"
# systemd looks below /usr and /usr/local; for any other prefix the unit is the machine's own.
case $prefix in /usr | /usr/local) units=$prefix/lib/systemd/system ;; *) units=/etc/systemd/system ;; esac
placed packaging/gatewatch.service "$root$units/gatewatch.service"
put 0644 packaging/gatewatch.sysusers.conf "$root$prefix/lib/sysusers.d/gatewatch.conf"
put 0644 packaging/grafana/gatewatch.json "$share/gatewatch/grafana/gatewatch.json"
put 0644 packaging/prometheus/gatewatch.rules.yml "$share/gatewatch/prometheus/gatewatch.rules.yml"
for page in README.md CHANGELOG.md docs/*.md; do
    put 0644 "$page" "$doc/$(basename "$page")"
done
scripts/sbom.sh "$doc"

mkdir -p "$share/man/man1"
"$bin" man "$share/man/man1"
gzip -9n "$share"/man/man1/*.1
completions() { # SHELL FILE
    mkdir -p "$(dirname "$2")"
    "$bin" completions "$1" >"$2"
}
completions bash "$share/bash-completion/completions/gatewatch"
completions zsh "$share/zsh/$([ "$prefix" = /usr ] && echo vendor-completions || echo site-functions)/_gatewatch"
completions fish "$share/fish/vendor_completions.d/gatewatch.fish"
