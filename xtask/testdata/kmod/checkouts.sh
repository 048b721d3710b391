#!/bin/sh
# Makes small checkouts of pkgs and extensions with a module, in the grammar of their Makefiles, and pins pkgs in a checkout of Talos.
#
#   checkouts.sh KERNEL RELEASE TALOS       in the folder above TALOS
#
# KERNEL is an unpacked kernel package. Dockerfiles stand in place of Pkgfiles, whose frontend is an image of a registry elsewhere.
set -eu
kernel=$1 release=$2 talos=$3

# makefile: what both repositories have.
makefile() {
	cat <<'END'
TAG ?= $(shell git describe --tag --always --dirty --match v[0-9]\*)
ARTIFACTS := _out
REGISTRY ?= ghcr.io
USERNAME ?= siderolabs
PLATFORM ?= linux/amd64,linux/arm64
PUSH ?= false
CI_ARGS ?=
BUILD := docker buildx build
COMMON_ARGS = --file=Pkgfile
COMMON_ARGS += --provenance=false
COMMON_ARGS += --platform=$(PLATFORM)
COMMON_ARGS += $(BUILD_ARGS)

target-%:
	@$(BUILD) --target=$* $(COMMON_ARGS) $(TARGET_ARGS) $(CI_ARGS) .

docker-%:
	@$(MAKE) target-$* TARGET_ARGS="$(TARGET_ARGS)"

$(ARTIFACTS):
	@mkdir -p $(ARTIFACTS)

END
}

# commit: all files of the working folder.
commit() {
	git add --all
	git -c user.name=lab -c user.email=lab@example.org commit --quiet --message lab
}

mkdir -p pkgs/kernel pkgs/lab-module
cd pkgs
git init --quiet
printf '_out\n' >.gitignore
printf -- '---\nkind: pkgfile.Build\nspec:\n  targets:\n    - kernel\n    - lab-module-pkg\n  extraBuildArgs: []\n' >.kres.yaml
{
	echo 'TARGETS = kernel'
	echo 'TARGETS += lab-module-pkg'
	makefile
	cat <<'END'
.PHONY: $(TARGETS)
$(TARGETS):
	@$(MAKE) docker-$@ TARGET_ARGS="--tag=$(REGISTRY)/$(USERNAME)/$@:$(TAG) --push=$(PUSH)"
END
} >Makefile
cat >Pkgfile <<'END'
# linux_version: 6.1.0
FROM scratch AS kernel
COPY kernel/root /
FROM scratch AS lab-module-pkg
COPY lab-module/root /usr
END
printf 'name: kernel\nvariant: scratch\nshell: /bin/bash\n' >kernel/pkg.yaml
printf 'name: lab-module-pkg\nvariant: scratch\ndependencies:\n  - stage: kernel-build\n' >lab-module/pkg.yaml
module=lib/modules/$release/kernel/drivers/net/ifb.ko
install -D "$kernel/$module" "kernel/root/usr/$module"
cp "$kernel/lib/modules/$release/modules.builtin" "kernel/root/usr/lib/modules/$release/"
install -D "$kernel/$module" "lab-module/root/lib/modules/$release/extras/ifb.ko"
git add .gitignore
git -c user.name=lab -c user.email=lab@example.org commit --quiet --message first
git tag v1.12.0
commit
pin=$(git describe --tag)
cd ..

mkdir -p extensions/lab-module
cd extensions
git init --quiet
printf '_out\n' >.gitignore
printf -- '---\nkind: pkgfile.Build\nspec:\n  targets:\n    - lab-module\n  extraBuildArgs: []\n' >.kres.yaml
{
	echo 'TARGETS = lab-module'
	echo "PKGS ?= $pin"
	cat <<'END'
PKGS_PREFIX ?= ghcr.io/siderolabs
BUILD_ARGS = --build-arg=PKGS="$(PKGS)"
BUILD_ARGS += --build-arg=PKGS_PREFIX="$(PKGS_PREFIX)"
END
	makefile
	cat <<'END'
$(ARTIFACTS)/bldr: | $(ARTIFACTS)
	@printf '#!/bin/sh\necho 0.1.0-v1.12.0\n' >$(ARTIFACTS)/bldr
	@chmod +x $(ARTIFACTS)/bldr

.PHONY: $(TARGETS)
$(TARGETS): $(ARTIFACTS)/bldr
	@$(MAKE) docker-$@ TARGET_ARGS="--tag=$(REGISTRY)/$(USERNAME)/$@:$(shell $(ARTIFACTS)/bldr eval --target $@ --build-arg TAG=$(TAG) '{{.VERSION}}' 2>/dev/null) --push=$(PUSH) --metadata-file=$(ARTIFACTS)/$@.metadata.json"
END
} >Makefile
cat >Pkgfile <<'END'
ARG PKGS_PREFIX PKGS
FROM ${PKGS_PREFIX}/lab-module-pkg:${PKGS} AS pkg
FROM scratch AS lab-module
COPY lab-module/manifest.yaml /manifest.yaml
COPY --from=pkg /usr/lib/modules /rootfs/usr/lib/modules
END
cat >lab-module/pkg.yaml <<'END'
name: lab-module
variant: scratch
dependencies:
  - image: "{{ .BUILD_ARG_PKGS_PREFIX }}/lab-module-pkg:{{ .BUILD_ARG_PKGS }}"
END
cat >lab-module/manifest.yaml <<'END'
version: v1alpha1
metadata:
  name: lab-module
  version: 0.1.0-v1.12.0
  author: The lab
  description: A module of the lab
  compatibility:
    talos:
      version: ">= v1.10.0"
END
commit
git tag v1.12.0
cd ..

sed -i "1i PKGS ?= $pin\nPKG_KERNEL ?= ghcr.io/siderolabs/kernel:\$(PKGS)" "$talos/Makefile"
