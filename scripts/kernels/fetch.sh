#!/usr/bin/env bash
# fetch.sh FOLDER SERIES...: the newest Debian kernel of each series (`6.1`, `7`), unpacked to
# FOLDER/SERIES; nothing is installed. The lists of packages and what was downloaded stay in FOLDER,
# apart from the machine's own, and are used again. Prints `SERIES VERSION` of each.
set -euo pipefail

folder=$(realpath -m "${1:?usage: fetch.sh FOLDER SERIES...}")
shift
mkdir -p "$folder"/lists/partial "$folder"/cache/archives/partial "$folder"/debs

# The mirror this machine uses, if it is a Debian one.
mirror() {
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		grep -m1 "/$1/*\$" || echo "http://deb.debian.org/$1"
}
archive=$(mirror debian)
security=$(mirror debian-security)
source='[arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
cat >"$folder/sources.list" <<LIST
deb $source $security bullseye-security main
deb $source $security bookworm-security main
deb $source $security trixie-security main
deb $source $archive trixie-backports main
LIST
options=(
	-o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
	-o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache"
	-o APT::Sandbox::User= -o APT::Architecture=amd64 -o Acquire::Languages=none
)
if ! apt-get "${options[@]}" update -qq; then
	echo 'kernels: the lists are not up to date: using those of an earlier run' >&2
fi

for series; do
	image=$(apt-cache "${options[@]}" pkgnames "linux-image-$series." |
		grep -E '^linux-image-[0-9][^ ]*[0-9]-cloud-amd64$|^linux-image-.*deb[0-9.]*-cloud-amd64$' |
		sort -V | tail -n 1)
	if [ -z "$image" ]; then
		echo "kernels: Debian has no kernel $series any more" >&2
		exit 1
	fi
	version=${image#linux-image-}
	if [ "$(cat "$folder/$series/version" 2>/dev/null)" != "$version" ]; then
		# Since 7.0 the image is in one package, its modules and their lists in others.
		parts=$(apt-cache "${options[@]}" depends --important "$image" |
			grep -oE "linux-(base|binary|modules)-${version//+/\\+}\$" || true)
		rm -rf "${folder:?}/$series" "$folder/new"
		mkdir "$folder/new"
		for package in $image $parts; do
			(cd "$folder/debs" && rm -f "${package}"_*.deb && apt-get "${options[@]}" download -qq "$package")
			dpkg-deb -x "$folder"/debs/"${package}"_*.deb "$folder/new"
			rm "$folder"/debs/"${package}"_*.deb
		done
		echo "$version" >"$folder/new/version"
		mv "$folder/new" "$folder/$series"
	fi
	echo "$series $version"
done
