# A mirror serves a web page, or an index whose time is over: status 75, and the reason in words.
has 7.2.3 30.30.3
remember
cp -a /srv/amd /srv/web
echo '<html><body>please log in</body></html>' >/srv/web/amdgpu/30.30.3/ubuntu/dists/jammy/InRelease
reimage 75 REPOSITORY=file:/srv/web
says "AMD's repositories cannot be read"
suite=/srv/amd/rocm/apt/7.2.3/dists/jammy
sed -i '/^Valid-Until/d; s/^Date:/Valid-Until: Sun, 01 Nov 2026 00:00:01 UTC\nDate:/' "$suite/Release"
gpg --batch --yes --quiet --clearsign --output "$suite/InRelease" "$suite/Release"
reimage 75
says "expired"
unchanged
