#!/bin/sh
# Builds the modules beside this script, and pushes extensions with them: a good one, and one for each fault.
#
#   images.sh HEADERS KERNEL RELEASE REGISTRY       in an empty folder
#
# HEADERS and KERNEL are unpacked packages: headers with kbuild, and the kernel's image, whose own modules have the only key that
# it trusts. That key was thrown away when it was built, as Talos' is, so a good signature comes only from a module of its own.
set -eu
src=$(cd "$(dirname "$0")" && pwd -P)
headers=$1 kernel=$2 release=$3 registry=$4
sign=$(echo "$headers"/usr/lib/linux-kbuild-*/scripts/sign-file)
modules=rootfs/usr/lib/modules/$release/extras
its_own=$kernel/lib/modules/$release/kernel/drivers/net/ifb.ko

mkdir build
cp "$src"/*.c "$src"/Makefile build
make -s -C "$headers/usr/src/linux-headers-$release" M="$PWD/build" modules >build.log
openssl req -new -x509 -newkey rsa:2048 -nodes -sha256 -days 2 -subj '/CN=Key of another build' -keyout key.pem -out key.x509 2>/dev/null

# extension NAME: a folder with its manifest.
extension() {
	mkdir -p "$1/$modules"
	cat >"$1/manifest.yaml" <<END
version: v1alpha1
metadata:
  name: $1
  version: 0.1.0-v1.12.0
  author: The lab
  description: Modules of the lab
  compatibility:
    talos:
      version: ">= v1.10.0"
END
}

extension good
cp "$its_own" "good/$modules"
extension unsigned
cp build/lab_alone.ko "unsigned/$modules"
extension foreign
cp build/lab_base.ko build/lab_hello.ko "foreign/$modules"
for module in foreign/"$modules"/*.ko; do "$sign" sha256 key.pem key.x509 "$module"; done
extension crash
cp build/lab_crash.ko "crash/$modules"
extension dependency
cp "foreign/$modules/lab_hello.ko" "dependency/$modules"
extension release
# With checksums of symbols, the kernel compares all words of vermagic but the release.
other=$(echo "$release" | sed 's/^[0-9]/9/')
sed "s/vermagic=$release SMP/vermagic=$other UMP/" build/lab_alone.ko >"release/$modules/lab_alone.ko"
extension build-of-another
# The checksum of the first symbol, as another configuration of the kernel has it.
objcopy --dump-section __versions=versions "$its_own" scratch.ko
printf '\001\002' | dd of=versions conv=notrunc status=none
objcopy --update-section __versions=versions "$its_own" "build/ifb.ko"
cp build/ifb.ko "build-of-another/$modules"
extension path
cp "$its_own" "path/$modules"
mkdir -p path/rootfs/etc/udev/rules.d
echo 'KERNEL=="ifb0"' >path/rootfs/etc/udev/rules.d/51-lab.rules
extension hardlink
mkdir -p hardlink/rootfs/usr/local/share/lab
cp "$its_own" hardlink/rootfs/usr/local/share/lab/ifb
ln hardlink/rootfs/usr/local/share/lab/ifb "hardlink/$modules/ifb.ko"

extension service
mkdir -p service/rootfs/usr/local/etc/containers service/rootfs/usr/local/lib/containers/lab
cat >service/rootfs/usr/local/etc/containers/lab.yaml <<END
name: lab
container:
  entrypoint: ./lab
depends:
  - configuration: true
restart: always
END
echo '#!/bin/sh' >service/rootfs/usr/local/lib/containers/lab/lab
chmod 755 service/rootfs/usr/local/lib/containers/lab/lab

for name in good service unsigned foreign crash dependency release build-of-another path hardlink; do
	# Of two names of a file, the second in the archive is the link: modules last.
	(cd $name && find manifest.yaml rootfs -path rootfs/usr/lib -prune -o -print && find rootfs/usr/lib) >order
	tar -C $name -c --owner 0 --group 0 --no-recursion -T order | docker import - "$registry/lab/$name:0.1.0-v1.12.0" >/dev/null
	docker push --quiet "$registry/lab/$name:0.1.0-v1.12.0" >/dev/null
done
crane mutate --insecure --entrypoint /bin/installer "$registry/lab/good:0.1.0-v1.12.0" -t "$registry/lab/installer:0.1.0-v1.12.0" >/dev/null
