# file: present.txt
# case: all
# case: ignored
# case: stops
# case: canned
# case: loop PLATFORM=linux/amd64,linux/arm64
# case: help
# case: quotes ARGS='--extra-kernel-arg="console=ttyS0"'
# case: inline
# case: continued
# case: nothing-to-run
# case: missing
# case: all missing ignored
# case: automatic
# case: present.txt
# case: dir/name.out
PLATFORM ?= linux/amd64
comma := ,
space := $(subst ,, )
define HELP
# Getting Started

To build, you need `make` and $(PLATFORM):
	indented
  # not a comment \
  continued
endef

export HELP

define COMMANDS
@echo first
echo second
-false
@-exit 3
@echo third
endef

.PHONY: all
all: before | order ## Everything.
	@echo "all: $@ of $^"
	echo echoed
	@: nothing printed
	   @  echo blanks before

before order:
	@echo making $@

ignored:
	-@false
	@-exit 3
	-rm -rf does-not-exist/
	@echo still here

stops:
	@echo one
	@false
	@echo never

canned:
	$(COMMANDS)

loop:
	@set -e; \
	for platform in $(subst $(comma),$(space),$(PLATFORM)); do \
		arch=$$(basename "$${platform}"); \
		echo "arch $${arch} of ${PLATFORM} `echo ticks`"; \
	done
	@case "$(PLATFORM)" in \
		*arm64) \
			echo arm \
			;; \
	esac

help: ## This help.
	@echo "$$HELP"
	@grep -E '^[a-zA-Z_-]+:.*?## .*$$' $(MAKEFILE_LIST) | sort

quotes:
	@printf '[%s]\n' --flag="-tags "a,b"" '$(ARGS)' --arg=$(ARGS)

inline: ; @echo inline $@

continued:
	@echo $(subst a,b,\
		a  \
		c) 'kept \
	here'

nothing-to-run:
	$(EMPTY)
	@

missing: no-such-file
	@echo never

automatic: b a b | c
	@echo '$@ $< $^'

a b c:
	@echo $@

%.out:
	@echo 'stem $* of $@'
