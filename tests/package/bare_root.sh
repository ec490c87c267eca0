#!/usr/bin/env bash
# The packages on a bare machine: a minimal Debian in a folder, without compilers and without our libraries.
#
#   bare_root.sh ROOT --packages DIR --torch SITE_PACKAGES/torch --model MODEL [--examples SOURCE]
#
# ROOT is made with debootstrap when it does not exist (as root; needs the network once). DIR holds what `cpack` wrote.
# In the root, the .debs are installed and tried, then removed; then the portable archive is tried. --examples also installs a
# compiler and builds the examples of that source folder against the packages. The last line is the verdict.
set -euo pipefail

root=$1
shift
packages='' torch='' model='' examples=''
while [ $# -gt 0 ]; do
  case $1 in
    --packages) packages=$2 ;;
    --torch) torch=$2 ;;
    --model) model=$2 ;;
    --examples) examples=$2 ;;
    *) echo "bare_root.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done
step() { printf '\n== %4ds %s\n' "$SECONDS" "$*"; }

if [ ! -x "$root/usr/bin/apt-get" ]; then
  step "a minimal Debian in $root"
  debootstrap --variant=minbase bookworm "$root" >"$root.log" 2>&1 || { tail "$root.log"; exit 1; }
fi

# Mounted rather than copied: LibTorch is large. Everything is taken down again, whatever happens.
mounts=()
cleanup() {
  local i
  for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do umount -l "${mounts[i]}" 2>/dev/null || true; done
}
trap cleanup EXIT
bind() { mkdir -p "$root$2" && mount --bind "$1" "$root$2" && mounts+=("$root$2"); }
mkdir -p "$root/proc" && mount -t proc proc "$root/proc" && mounts+=("$root/proc")
bind /dev /dev
[ ! -d /dev/pts ] || bind /dev/pts /dev/pts
bind "$packages" /packages
bind "$(dirname "$torch")" /site-packages
bind "$model" /model
[ -z "$examples" ] || bind "$examples" /source
cp /etc/resolv.conf "$root/etc/resolv.conf"
inside() { chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 OMP_WAIT_POLICY=passive "$@"; }

# Each command of a newcomer, from any folder.
try() {
  local quanthost=$1
  step "$quanthost version"
  inside "$quanthost" version
  step "$quanthost plugins list"
  inside "$quanthost" plugins list | tee "$root/tmp/list"
  for backend in bnb4 quanto gptq; do
    grep -q "^ok  *org.quanthost.$backend " "$root/tmp/list" || { echo "the $backend backend is not listed as ok"; exit 1; }
  done
  if inside "$quanthost" --help | grep -q doctor; then
    step "$quanthost doctor"
    inside "$quanthost" doctor || echo "(doctor found something that does not work here)"
  fi
  step "SmolLM2, quantized while it loads"
  inside "$quanthost" run /model --method bitsandbytes_4bit --set bnb_4bit_quant_type=nf4 --chat --greedy -n 24 \
    -p "What is the capital of France?" | tee "$root/tmp/answer"
  grep -q Paris "$root/tmp/answer"
}

step "the .debs"
inside dpkg --purge quanthost quanthost-host quanthost-sdk quanthost-plugin-bnb4 quanthost-plugin-quanto quanthost-plugin-gptq \
  >/dev/null 2>&1 || true
inside apt-get update -qq
inside env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(cd "$packages" && printf '/packages/%s ' *.deb) >/dev/null
inside dpkg-query -W -f='${Package} ${Version} ${Architecture}\n' 'quanthost*'
inside ln -sfn /site-packages/torch /usr/lib/quanthost/libtorch # beside the library
try quanthost

if [ -n "$examples" ]; then
  step "the examples against the .debs"
  inside env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ cmake ninja-build pkg-config >/dev/null
  for example in embed-c embed-cpp own-model plugins/absmax8 plugins/absmax8-c; do
    step "examples/$example"
    inside rm -rf /tmp/build
    inside cmake -G Ninja -S "/source/examples/$example" -B /tmp/build -DCMAKE_BUILD_TYPE=Release >/dev/null
    inside cmake --build /tmp/build >/dev/null
    case $example in
      embed-*) inside "/tmp/build/${example/-/_}" /model ;;
      own-model) inside /tmp/build/own_model ;;
      *) inside quanthost validate "/tmp/build/$(basename "${example//-/_}").so" | tail -1 ;;
    esac
  done
  step "the template"
  inside sh -c 'rm -rf /tmp/mine && cd /tmp && quanthost plugins new mine && cmake -G Ninja -S mine -B mine/build >/dev/null && cmake --build mine/build >/dev/null && quanthost validate mine/build/mine.so | tail -1'
  step "pkg-config"
  inside sh -c 'gcc -std=c99 $(pkg-config --cflags quanthost) /source/examples/embed-c/main.c $(pkg-config --libs quanthost) -o /tmp/by-pkg-config && /tmp/by-pkg-config /model'
fi

step "the .debs are removed again"
inside rm -f /usr/lib/quanthost/libtorch
inside dpkg --purge quanthost quanthost-plugin-bnb4 quanthost-plugin-quanto quanthost-plugin-gptq quanthost-host quanthost-sdk >/dev/null
left=$(inside sh -c 'find /usr /etc -name "*quanthost*"')
[ -z "$left" ] || { echo "left behind: $left"; exit 1; }

step "the portable archive, without our packages' libraries"
inside sh -c 'apt-get -y -qq autoremove --purge >/dev/null 2>&1; ! ldconfig -p | grep -E "libyaml-cpp|libspdlog|libfmt|libsodium"' ||
  echo "(libraries of other packages are there; the archive's own come first)"
inside sh -c 'rm -rf /opt/quanthost* && tar -C /opt -xzf /packages/quanthost-*.tar.gz && mv /opt/quanthost-* /opt/quanthost'
inside ln -sfn /site-packages/torch /opt/quanthost/libtorch
try /opt/quanthost/bin/quanthost
step "LibTorch by LD_LIBRARY_PATH instead of beside it"
inside rm /opt/quanthost/libtorch
inside env LD_LIBRARY_PATH=/site-packages/torch/lib /opt/quanthost/bin/quanthost load /model
step "LibTorch by QUANTHOST_LIBTORCH"
inside env QUANTHOST_LIBTORCH=/site-packages/torch /opt/quanthost/bin/quanthost load /model
step "and without any"
if inside /opt/quanthost/bin/quanthost load /model 2>"$root/tmp/error"; then echo "it loaded without LibTorch?"; exit 1; fi
cat "$root/tmp/error"
grep -qi torch "$root/tmp/error" || { echo "the message does not name LibTorch"; exit 1; }
step "everything works on a bare machine"
