#!/usr/bin/env bash
# Installs the Compose v2 and buildx plugins for the docker client from Debian testing's packages, without touching the machine's own apt sources.
#
#   tests/standins/compose-v2.sh [DIR]
#
# DIR (default: a folder under TMPDIR) holds the downloads; the plugins go to ${DOCKER_CONFIG:-~/.docker}/cli-plugins.
set -euo pipefail

DIR="${1:-${TMPDIR:-/tmp}/compose-v2}"
mkdir -p "$DIR"/{lists/partial,cache/archives/partial,deb,state}
touch "$DIR/state/status"
# apt fills the form in, not the shell.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -1)
echo "deb $mirror forky main" > "$DIR/sources.list"
apt=(apt-get -q -o "Dir::Etc::sourcelist=$DIR/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$DIR/lists"
  -o "Dir::Cache=$DIR/cache" -o "Dir::State::status=$DIR/state/status")
"${apt[@]}" update > "$DIR/log"
(
  cd "$DIR/deb"
  "${apt[@]}" download docker-compose docker-buildx >> "$DIR/log"
  for package in *.deb; do dpkg-deb -x "$package" "$DIR/root"; done
)
plugins="${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins"
mkdir -p "$plugins"
find "$DIR/root" -type f \( -name docker-compose -o -name docker-buildx \) -exec install -m755 {} "$plugins/" \;
docker compose version
