#!/usr/bin/env bash
# Runs a bundle (ONNX Runtime, no torch) and torch's eager int8 (engine qnnpack) on an emulated arm64, and holds what
# both find against this x86 machine: counts, sizes, logits, answers. Nothing is timed, and a device's name refused.
#
# All of it comes as packages by the sources that apt and pip are set up with: qemu-user-static where it isn't
# installed, the arm64 python3 and its libraries, aarch64 wheels. They are unpacked into a cache folder (1.2 GB); no
# root is needed, and nothing is installed or configured. What is whole is kept, so a run that broke off goes on.
set -euo pipefail

usage() {
  cat <<'END'
usage: ci/arm64-emulated.sh [options] [edge] [eager]

  --cache DIR         what is downloaded and unpacked (default: edgeai-repro/arm64 in the user's cache folder)
  --out DIR           what is found, as JSON (default: arm64-emulated)
  --images N          how many of CIFAR-10's test images, where EDGEAI_DATA is set (default: 1000)
  --apt-sources FILE  an apt sources.list with arm64 packages (default: apt's own; Ubuntu's has none)
  --python FILE       this machine's Python, with edgeai-repro, torch and ONNX Runtime (default: .venv's, else python3)

It exits with 0 where arm64 agrees with this machine, 1 where it doesn't, 2 where something is missing.
END
}

die() {
  echo "arm64-emulated: $*" >&2
  exit 2
}

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/edgeai-repro/arm64
out=arm64-emulated
images=1000
sources=
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
parts=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage && exit ;;
    --cache | --out | --images | --apt-sources | --python)
      [ $# -ge 2 ] || die "$1 must have a value (got none); see --help"
      case $1 in
        --cache) cache=$2 ;;
        --out) out=$2 ;;
        --images) images=$2 ;;
        --apt-sources) sources=$2 ;;
        --python) python=$2 ;;
      esac
      shift 2
      ;;
    edge | eager) parts+=("$1") && shift ;;
    *) die "an argument must be an option, edge or eager (got '$1'); see --help" ;;
  esac
done
[ ${#parts[@]} -gt 0 ] || parts=(edge eager)
[[ $images =~ ^[1-9][0-9]*$ ]] || die "--images must be a number above 0 (got '$images'); see --help"
[ -z "$sources" ] || [ -r "$sources" ] || die "--apt-sources must be a readable file (got '$sources'); check the path"
"$python" -c 'from importlib.metadata import version
version("onnx"), version("onnxruntime"), version("torch")' 2>/dev/null ||
  die "'$python' must have torch, onnx and ONNX Runtime; run 'make claims' once, or name another by --python"
{ mkdir -p "$cache" "$out" && touch "$cache/lock" "$out"; } 2>/dev/null ||
  die "--cache and --out must be folders that can be written (got '$cache', '$out'); name others"
[ "$(uname -m)" = x86_64 ] || die "this machine must be an x86-64 one (got $(uname -m)); on arm64, run pytest itself"
for tool in apt-get dpkg-deb; do
  command -v $tool >/dev/null || die "$tool must be here (got none); run it on Debian or Ubuntu"
done
cache=$(cd "$cache" && pwd) && out=$(cd "$out" && pwd)
exec 9>"$cache/lock"
flock --nonblock 9 || die "one run at a time must use '$cache' (got another); wait for it, or name another by --cache"
aside=$cache/.aside
trap 'rm -rf "$aside"' EXIT

# keep NAME FUNCTION: have $cache/NAME filled by a function that takes an empty folder; whole, or not there.
keep() {
  [ -d "$cache/$1" ] && return
  echo "getting $1 into $cache" >&2
  rm -rf "$aside" && mkdir -p "$aside/new" "$aside/tmp"
  "$2" "$aside/new"
  mv "$aside/new" "$cache/$1"
}

get_qemu() {
  (cd "$1" && apt-get -qq download qemu-user-static 2>"$cache/apt.log" && dpkg-deb -x ./*.deb . && rm ./*.deb) ||
    die "qemu-user-static must be there (got $(tail -n 1 "$cache/apt.log")); sudo apt-get install qemu-user-static"
  find "$1/usr/bin" -type f ! -name qemu-aarch64-static -delete # 360 MB of other processors
}

# An apt of its own, for arm64, that knows of no installed package: it fetches what python3 needs, to the last library.
get_system() {
  local apt=$cache/apt deb
  mkdir -p "$apt"/state/lists/partial "$apt"/cache/archives/partial
  : >"$apt/state/status"
  cat >"$apt/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
Dir::State "$apt/state";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt/cache";
END
  [ -z "$sources" ] ||
    printf 'Dir::Etc::sourcelist "%s";\nDir::Etc::sourceparts "-";\n' "$(realpath "$sources")" >>"$apt/apt.conf"
  { APT_CONFIG=$apt/apt.conf apt-get -qq update &&
    APT_CONFIG=$apt/apt.conf apt-get -qq --yes --download-only install python3 libstdc++6; } >"$cache/apt.log" 2>&1 ||
    die "apt must have arm64's python3 (got $(tail -n 1 "$cache/apt.log")); name a list of sources by --apt-sources"
  for deb in "$apt"/cache/archives/*.deb; do
    dpkg-deb -x "$deb" "$1" || die "'$deb' must be a whole package; remove it and run again"
  done
  [ -e "$1/lib" ] || ln -s usr/lib "$1/lib" # newer releases leave the link to a package that isn't needed here
  rm -rf "$apt"
}

# here ARGUMENT…: run this machine's Python, with this checkout.
here() {
  env PYTHONPATH="$root" OMP_NUM_THREADS=1 "$python" "$@"
}

# arm FOLDERS ARGUMENT…: run the arm64 Python, with packages from these folders and this checkout. The processor is a
# Raspberry Pi 5's: on qemu 7.2's own choice, which has SVE, ONNX Runtime 1.24.4's int8 answers nonsense.
arm() {
  local packages=$1
  shift
  env -u PYTHONHOME -u LD_LIBRARY_PATH -u LD_PRELOAD PYTHONPATH="$packages:$root" PYTHONNOUSERSITE=1 \
    OMP_NUM_THREADS=1 "$qemu" -cpu cortex-a76 -L "$cache/system" "$cache"/system/usr/bin/python3.[1-9][0-9] "$@"
}

# wheels FOLDER REQUIREMENT…: unpack wheels for the arm64 Python, with those that they need.
wheels() {
  local folder=$1 wanted
  shift
  wanted=$(arm '' -c 'import platform, sys
version = ".".join(map(str, sys.version_info[:2]))
tags = ["2014", *(f"_2_{minor}" for minor in range(17, int(platform.libc_ver()[1].split(".")[1]) + 1))]
print("--python-version", version, *(f"--platform=manylinux{tag}_aarch64" for tag in tags))')
  # shellcheck disable=SC2086 # options, one a word
  TMPDIR=$aside/tmp "$python" -m pip install --quiet --only-binary=:all: --implementation=cp $wanted --target "$folder" \
    --constraint "$root/ci/arm64-constraints.txt" "$@" >"$cache/pip.log" 2>&1 ||
    die "pip must find aarch64 wheels (got $(grep -m 1 ERROR "$cache/pip.log" || tail -n 1 "$cache/pip.log")); see $cache/pip.log"
}

# What the extra `edge` needs, and what torch needs beside it. The latter is named to the last package, for pip takes
# the conditions of torch's own list for this machine's: CUDA.
mapfile -t edge < <("$python" -c 'import pathlib, sys, tomllib
project = tomllib.loads(pathlib.Path(sys.argv[1]).read_text())["project"]
print(*project["dependencies"], *project["optional-dependencies"]["edge"], sep="\n")' "$root/pyproject.toml")
eager=(--no-deps torch torchvision safetensors thop filelock fsspec jinja2 markupsafe mpmath networkx sympy)

get_edge() {
  wheels "$1" "${edge[@]}"
}

get_eager() {
  wheels "$1" "${eager[@]}"
}

qemu=$(command -v qemu-aarch64-static || true)
if [ -z "$qemu" ]; then
  keep qemu get_qemu
  qemu=$cache/qemu/usr/bin/qemu-aarch64-static
fi
[[ $("$qemu" -cpu help) == *cortex-a76* ]] ||
  die "'$qemu' must know a Cortex-A76 (got an older one); it takes qemu 7.1"
keep system get_system
arm '' -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  die "apt's arm64 python3 must be 3.11 or newer (got an older one); remove '$cache/system', and name --apt-sources"
stamp=$(echo "${edge[*]} ${eager[*]}" | cat - "$root/ci/arm64-constraints.txt" | sha256sum | cut -c 1-8)
for part in edge "${parts[@]}"; do
  [ -d "$cache/$part-$stamp" ] || rm -rf "$cache/$part"-* # of other requirements
  keep "$part-$stamp" "get_$part"
done

models=$aside/models
rm -rf "$aside" && mkdir "$aside"
echo "writing the models that both machines take" >&2
here -m ci.arm64_check prepare "$models"
for part in "${parts[@]}"; do
  echo "running $part on x86-64, then on arm64" >&2
  packages=$cache/edge-$stamp
  [ "$part" = edge ] || packages=$cache/eager-$stamp:$packages
  here -m ci.arm64_check "$part" "$models" --images "$images" -o "$out/x86-$part.json"
  arm "$packages" -m ci.arm64_check "$part" "$models" --images "$images" -o "$out/arm64-$part.json"
  if [ "$part" = edge ]; then
    # As a person would who takes this for a board: the claims about times get no verdict all the same.
    (
      cd "$root"
      export EDGEAI_DEVICE=raspberry-pi-5 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
      arm "$packages" -m pytest -p benchmark -p edgeai_repro.plugin.hooks -p no:cacheprovider -q -rs -m "claims and edge" \
        --edge-threads=1 --bundle="$models/bundles/convnext_atto-trained" --claims-json="$out/claims.json"
    )
  fi
done
here -m ci.arm64_check check "$out" "${parts[@]}"
