#!/usr/bin/env bash
# Runs a bundle (ONNX Runtime, no torch) and torch's eager int8 (engine qnnpack) on an emulated arm64 processor, and
# compares the results with this x86 machine: counts, sizes, logits, predictions. Nothing is timed, and claims about
# times must get no verdict even if EDGEAI_DEVICE names a device.
#
# apt and pip download everything from their configured sources: qemu-user-static unless it is installed, the arm64
# python3 with its libraries, and aarch64 wheels. They are unpacked into a cache folder (1.2 GB). No root is needed,
# nothing is installed or configured, and an interrupted run continues with the finished downloads.
set -euo pipefail

usage() {
  cat <<'END'
usage: ci/arm64-emulated.sh [options] [edge] [eager]

  --cache DIR         folder for downloads (default: edgeai-repro/arm64 in the user's cache folder)
  --out DIR           folder for the results, as JSON (default: arm64-emulated)
  --images N          number of CIFAR-10 test images, if EDGEAI_DATA is set (default: 1000)
  --apt-sources FILE  an apt sources.list with arm64 packages (default: apt's own; Ubuntu's has none)
  --python FILE       this machine's Python, with edgeai-repro, torch and ONNX Runtime (default: .venv's, else python3)

Example: ci/arm64-emulated.sh --images 100 edge

Exit status: 0 if arm64 agrees with this machine, 1 if it doesn't, 2 if something is missing.
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
      [ $# -ge 2 ] || die "the value of $1 is missing; see --help"
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
  die "'$python' must have torch, onnx and ONNX Runtime; run 'make claims' once, or name another with --python"
{ mkdir -p "$cache" "$out" && touch "$cache/lock" "$out"; } 2>/dev/null ||
  die "--cache and --out must be folders that can be written (got '$cache', '$out'); name others"
[ "$(uname -m)" = x86_64 ] || die "the machine must be x86-64 (got $(uname -m)); on arm64, run pytest itself"
for tool in apt-get dpkg-deb; do
  command -v $tool >/dev/null || die "$tool is missing; run this on Debian or Ubuntu"
done
cache=$(cd "$cache" && pwd) && out=$(cd "$out" && pwd)
exec 9>"$cache/lock"
flock --nonblock 9 || die "'$cache' is in use by another run; wait for it, or name another folder with --cache"
aside=$cache/.aside
trap 'rm -rf "$aside"' EXIT

# keep NAME FUNCTION: fill $cache/NAME with a function that takes an empty folder. An interrupted call leaves nothing.
keep() {
  [ -d "$cache/$1" ] && return
  echo "getting $1 into $cache" >&2
  rm -rf "$aside" && mkdir -p "$aside/new" "$aside/tmp"
  "$2" "$aside/new"
  mv "$aside/new" "$cache/$1"
}

get_qemu() {
  (cd "$1" && apt-get -qq download qemu-user-static 2>"$cache/apt.log" && dpkg-deb -x ./*.deb . && rm ./*.deb) ||
    die "apt must have qemu-user-static (got $(tail -n 1 "$cache/apt.log")); sudo apt-get install qemu-user-static"
  find "$1/usr/bin" -type f ! -name qemu-aarch64-static -delete # 360 MB of other processors
}

# Use a separate apt configuration for arm64 without any installed package, so that it downloads python3 with every
# library.
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
    die "apt must have arm64's python3 (got $(tail -n 1 "$cache/apt.log")); name a list of sources with --apt-sources"
  for deb in "$apt"/cache/archives/*.deb; do
    dpkg-deb -x "$deb" "$1" || die "'$deb' must be a whole package; remove it and run again"
  done
  [ -e "$1/lib" ] || ln -s usr/lib "$1/lib" # in newer releases another package contains this link
  rm -rf "$apt"
}

# native ARGUMENT…: run this machine's Python with this checkout.
native() {
  env PYTHONPATH="$root" OMP_NUM_THREADS=1 "$python" "$@"
}

# arm FOLDERS ARGUMENT…: run the arm64 Python with packages from these folders and this checkout. The processor is that
# of a Raspberry Pi 5: on qemu 7.2's default, which has SVE, int8 in ONNX Runtime 1.24.4 returns wrong values.
arm() {
  local packages=$1
  shift
  env -u PYTHONHOME -u LD_LIBRARY_PATH -u LD_PRELOAD PYTHONPATH="$packages:$root" PYTHONNOUSERSITE=1 \
    OMP_NUM_THREADS=1 "$qemu" -cpu cortex-a76 -L "$cache/system" "$cache"/system/usr/bin/python3.[1-9][0-9] "$@"
}

# wheels FOLDER REQUIREMENT…: unpack wheels for the arm64 Python, with their dependencies.
wheels() {
  local folder=$1 wanted
  shift
  wanted=$(arm '' -c 'import platform, sys
version = ".".join(map(str, sys.version_info[:2]))
tags = ["2014", *(f"_2_{minor}" for minor in range(17, int(platform.libc_ver()[1].split(".")[1]) + 1))]
print("--python-version", version, *(f"--platform=manylinux{tag}_aarch64" for tag in tags))')
  # shellcheck disable=SC2086 # one option per word
  TMPDIR=$aside/tmp "$python" -m pip install --quiet --only-binary=:all: --implementation=cp $wanted --target "$folder" \
    --constraint "$root/ci/arm64-constraints.txt" "$@" >"$cache/pip.log" 2>&1 ||
    die "pip must find aarch64 wheels (got $(grep -m 1 ERROR "$cache/pip.log" || tail -n 1 "$cache/pip.log")); see $cache/pip.log"
}

# The requirements of the extra `edge`, and torch with its dependencies. The latter are listed one by one, because pip
# would evaluate torch's own list for this x86 machine and install CUDA.
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
  die "'$qemu' must emulate a Cortex-A76 (got an older version); install qemu 7.1 or newer"
keep system get_system
arm '' -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  die "apt's arm64 python3 must be 3.11 or newer (got an older one); remove '$cache/system', and name --apt-sources"
stamp=$(echo "${edge[*]} ${eager[*]}" | cat - "$root/ci/arm64-constraints.txt" | sha256sum | cut -c 1-8)
for part in edge "${parts[@]}"; do
  [ -d "$cache/$part-$stamp" ] || rm -rf "$cache/$part"-* # made for other requirements
  keep "$part-$stamp" "get_$part"
done

models=$aside/models
rm -rf "$aside" && mkdir "$aside"
echo "writing the models for both machines" >&2
native -m ci.arm64_check prepare "$models"
for part in "${parts[@]}"; do
  echo "running $part on x86-64, then on arm64" >&2
  packages=$cache/edge-$stamp
  [ "$part" = edge ] || packages=$cache/eager-$stamp:$packages
  native -m ci.arm64_check "$part" "$models" --images "$images" -o "$out/x86-$part.json"
  arm "$packages" -m ci.arm64_check "$part" "$models" --images "$images" -o "$out/arm64-$part.json"
  if [ "$part" = edge ]; then
    # Even if EDGEAI_DEVICE names a device, the claims about times must get no verdict.
    (
      cd "$root"
      export EDGEAI_DEVICE=raspberry-pi-5 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
      arm "$packages" -m pytest -p benchmark -p edgeai_repro.plugin.hooks -p no:cacheprovider -q -rs -m "claims and edge" \
        --edge-threads=1 --bundle="$models/bundles/convnext_atto-trained" --claims-json="$out/claims.json"
    )
  fi
done
native -m ci.arm64_check check "$out" "${parts[@]}"
