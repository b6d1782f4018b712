# Packages and signed repositories, for the world and for the cases.

build() { # folder pool
  mkdir -p "$2"
  dpkg-deb --root-owner-group -Zgzip -z1 --build "$1" "$2" >/dev/null
}
# index REPOSITORY SUITE ORIGIN: writes the signed indexes of all packages in its pool.
index() {
  local suite=$1/dists/$2 deb
  mkdir -p "$suite/main/binary-amd64"
  for deb in "$1"/pool/*.deb; do
    dpkg-deb --field "$deb"
    printf 'Filename: pool/%s\nSize: %s\nSHA256: %s\n\n' "$(basename "$deb")" "$(stat --format=%s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
  done >"$suite/main/binary-amd64/Packages"
  (
    cd "$suite"
    printf 'Origin: %s\nSuite: %s\nCodename: %s\nArchitectures: amd64\nComponents: main\nDate: Sun, 01 Nov 2026 00:00:00 UTC\nSHA256:\n %s %s main/binary-amd64/Packages\n' \
      "$3" "$2" "$2" "$(sha256sum main/binary-amd64/Packages | cut -d' ' -f1)" "$(stat --format=%s main/binary-amd64/Packages)" >Release
    gpg --batch --yes --quiet --clearsign --output InRelease Release
  )
}
