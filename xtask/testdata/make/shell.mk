# file: list.txt
# case: all
# case: captured
# case: nested-captured
# case: many TARGETS='x y'
# case: in-shell
OS := $(shell uname -s | tr "[:upper:]" "[:lower:]")
ARCH := $(shell uname -m | sed 's/x86_64/amd64/' | sed 's/aarch64/arm64/')
TAG ?= $(shell printf 'v1.2\n.3\n\n')
RELEASE := $(shell printf 'release(v1.0.0): x\n' | sed -nE "s/^release\((.*)\):.*$$/\\1/p")
LOUD := $(shell echo $$((1 + 2)) "#")
FAILED := $(shell echo partial; exit 3)
USER_ARG = --user $(shell id -u):$(shell id -g)
TARGETS ?= a b

all:
	@echo '[$(OS)] [$(ARCH)] [$(TAG)] [$(RELEASE)] [$(LOUD)] [$(FAILED)] [$(USER_ARG)]'

captured:
	@printf 'one\ntwo\n' > list.txt
	@$(MAKE) --no-print-directory use

use:
	@echo before; printf 'three\n' >> list.txt
	@echo 'list: $(shell cat list.txt)'

nested-captured: list.txt
	@$(MAKE) --no-print-directory docker-x TARGET_ARGS="--tag=x:$(shell cat list.txt | wc -l) --push=$(PUSH)"

docker-%:
	@$(MAKE) --no-print-directory target-$* TARGET_ARGS="$(TARGET_ARGS)"

target-%:
	@printf '[%s]\n' $* $(TARGET_ARGS) .

many:
	@$(foreach target,$(TARGETS),echo $(target):$(shell printf %s '$(target)' | wc -c)@$(target);)

in-shell:
	@for image in $(shell $(MAKE) --quiet --no-print-directory target-list); do echo "<$$image>"; done
