# env: OUTER=environment
# case: top
# case: top A=1 B='x y'
# case: top 'C:=q r' A=$(B) B='it'\''s'
# case: wrapped TARGET_ARGS='--build-arg=X="a b"'
# case: -s top
# case: quiet
# case: alone
# case: shell-loop
# case: substituted
# case: fails
# case: ignored
# case: several
# case: deep N=1
A ?= default
B ?= default
ARTIFACTS := _out

all:
	@echo all [$(A)] [$(MAKELEVEL)]

top:
	@$(MAKE) show A=2 "D=$(B) $(OUTER)"
	@$(MAKE) local-$@ DEST=$(ARTIFACTS) PUSH=false

show:
	@echo 'A=[$(A)] B=[$(B)] C=[$(C)] D=[$(D)] level $(MAKELEVEL)'
	@env | grep -E '^(A|B|C|D|OUTER|MAKEFLAGS|MFLAGS|MAKELEVEL|MAKEOVERRIDES)=' | sort
	@${MAKE} --no-print-directory deeper E=5

deeper:
	@env | grep -E '^(A|B|C|D|E|OUTER|MAKEFLAGS|MFLAGS|MAKELEVEL|MAKEOVERRIDES)=' | sort

wrapped:
	@$(MAKE) target-x TARGET_ARGS="--output=type=local,dest=$(ARTIFACTS) $(TARGET_ARGS)"

local-%: ## Local.
	@$(MAKE) target-$* TARGET_ARGS="--output=type=local,dest=$(DEST) $(TARGET_ARGS)"
	@PLATFORM=$(PUSH) sh -c 'echo after $$PLATFORM'

target-%:
	@printf '[%s]\n' build \
		--target=$* \
		$(TARGET_ARGS) \
		.

quiet:
	@$(MAKE) --quiet target-quiet
	@$(MAKE) -s show

alone:
	@$(MAKE)

shell-loop:
	@for n in 1 2; do \
		$(MAKE) target-$$n A=$$n; \
	done

substituted:
	@images="$$($(MAKE) --quiet target-list A=9)" || exit 1; echo got $$images

fails:
	@$(MAKE) broken
	@echo never

broken:
	@echo breaking; exit 3

ignored:
	-@$(MAKE) broken
	@echo went on

several:
	@$(MAKE) target-a target-b

deep: deep-$(N)
	@echo end $(N)

deep-1:
	@$(MAKE) deep N=2

deep-2:
	@$(MAKE) deep N=3

deep-3:
	@echo bottom
