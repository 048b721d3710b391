# Functions and forms that sister repositories use, and values of several words through a nested make.
#
# case: facts GIVEN=x
# case: names
# case: paths
# case: files
# case: calls
# case: several
# case: kept
# case: several-single
# case: jobs
# case: one "A=  two words"
# case: one -j4 A=x
# case: one --jobs=2 A=x
# env: FROM_ENVIRONMENT=1
# file: b.c
# file: a.c
# file: .hidden.c

R = $(S) end
S := simple
T ?= t

facts:
	@echo $(origin R) $(origin NONE) $(origin FROM_ENVIRONMENT) $(origin GIVEN) $(origin @) $(origin CC) $(origin MAKE)
	@echo $(flavor R) $(flavor S) $(flavor NONE) '$(value R)' '$(value NONE)'

names:
	@echo $(basename a/b.c d.tar.gz e.d/f .x) , $(suffix a/b.c d.tar.gz e.d/f .x)
	@echo $(join a b c,1 2) , $(join ,x y) , $(wordlist 2,3,a b c d) , $(wordlist 3,2,a b c) , $(wordlist 2,9,a b)

paths:
	@echo $(abspath a ./b sub/../c /d/../e /f//g/./h) $(abspath )

files:
	@echo $(wildcard *.c) , $(wildcard none* a.c) , $(wildcard ./*.c) , $(wildcard [b-z].c ?.c)

pair = [$(1)|$(2)|$(3)]
outer = $(call pair,$(1),x)$(2)
calls:
	@echo '$(call pair,a,b)' '$(call pair,a b,$(S),)' '$(call outer,o,p)' '$(call none,x)'

several:
	@$(MAKE) show ARGS="--first=1 $(shell printf 'x y\nz\n' | xargs -n 1 echo --more) --last"

several-single:
	@$(MAKE) show ARGS='--first $(shell printf "x y")'

kept:
	@$(MAKE) show ARGS="$(shell printf '%s' 'a;b&c *')"

show:
	@printf '[%s]' "$(ARGS)"; echo
	@echo "$$ARGS"

jobs:
	@$(MAKE) -j4 one A=nested
	@$(MAKE) --jobs one A=nested

one:
	@echo '[$(A)]'
