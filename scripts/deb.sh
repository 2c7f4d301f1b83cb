#!/usr/bin/env bash
# Builds the Debian package.
#
#   scripts/deb.sh [FOLDER]     makes FOLDER/gatewatch_VERSION_ARCHITECTURE.deb and prints its path; default: packages
#
#   BIN=path              a binary that is built already; default: cargo build --release
#   DEBIAN_REVISION=1     the part of the version behind the dash
#
# Two runs on one commit and one binary give the same bytes. Compression is dpkg-deb's (DPKG_DEB_COMPRESSOR_TYPE).
. "$(dirname "$0")/common.sh"
case "${1:-}" in -*) sed -n '2,/^\. /{/^\. /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;; esac
folder=${1:-packages}
command -v dpkg-deb >/dev/null || die "dpkg-deb is missing: this is no Debian or Ubuntu; scripts/install.sh installs without it"
if [ -z "${BIN:-}" ]; then
    need_toolchain
    say "building (35 to 45 minutes on two cores, the first time)" >&2
    cargo build --release --locked >&2
    BIN=$CARGO_TARGET_DIR/release/gatewatch
fi
[ -x "$BIN" ] || die "$BIN is not there, or no program"

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)-${DEBIAN_REVISION:-1}
architecture=$(dpkg --print-architecture)
maintainer="Gatewatch maintainers <maintainers@gatewatch.invalid>"
# The time of everything in it: the last commit's, so that a package can be built again.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml)}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
binary=$work/gatewatch
cp "$BIN" "$binary"
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$binary" ||
    die "strip failed: install binutils"
scripts/stage.sh "$binary" "$root" /usr

# Which packages the binary's libraries are in, and which versions of them it needs.
depends() {
    if command -v dpkg-shlibdeps >/dev/null; then
        mkdir -p "$work/shlibs/debian"
        printf 'Source: gatewatch\n\nPackage: gatewatch\nArchitecture: any\n' >"$work/shlibs/debian/control"
        (cd "$work/shlibs" && dpkg-shlibdeps -O --warnings=0 "$binary" 2>/dev/null) | sed -n 's/^shlibs:Depends=//p'
    else
        ldd "$binary" | awk '$3 ~ "^/" { print $3 }' | xargs -n 1 realpath | xargs dpkg-query -S 2>/dev/null |
            cut -d: -f1 | sort -u | paste -sd, | sed 's/,/, /g'
    fi
}

doc=$root/usr/share/doc/gatewatch
mv "$doc/CHANGELOG.md" "$doc/changelog"
install -m 0644 packaging/debian/copyright "$doc/copyright"
install -D -m 0644 packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/gatewatch"
cat >"$doc/changelog.Debian" <<CHANGELOG
gatewatch ($version) unstable; urgency=medium

  * What changed is in changelog.gz beside this file.

 -- $maintainer  $(date -Ru -d "@$SOURCE_DATE_EPOCH")
CHANGELOG
gzip -9n "$doc/changelog" "$doc/changelog.Debian" "$doc/licences.txt" "$doc/sbom.cdx.json"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

mkdir -p "$root/DEBIAN"
installed=$(du -k -s --apparent-size --exclude=DEBIAN "$root" | cut -f1)
sed -e "s|@VERSION@|$version|; s|@ARCHITECTURE@|$architecture|; s|@MAINTAINER@|$maintainer|" \
    -e "s|@DEPENDS@|$(depends)|; s|@INSTALLED_SIZE@|$installed|" packaging/debian/control.in >"$root/DEBIAN/control"
install -m 0644 packaging/debian/conffiles "$root/DEBIAN/conffiles"
install -m 0755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$root/DEBIAN/"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
chmod -R go-w "$root"

mkdir -p "$folder"
package=$folder/gatewatch_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >&2
echo "$package"
