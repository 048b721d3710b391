# env: FROM_ENV=env
# env: EMPTY_ENV=
# env: DOLLAR_ENV=a$$b
# env: USERNAME=login
# case: all
# case: all FROM_ENV=given USERNAME=me
# case: all LAZY=changed APPENDED=mine
# case: all SIMPLE:=a$(LAZY)b
# case: print-PATH
USERNAME ?= siderolabs
EMPTY_ENV ?= unset
FROM_ENV ?= file
LAZY = $(LATER)
SIMPLE := before $(LATER) after
LATER = later
TRAILING ?= value with a blank # and a comment
HASH := a\#b
, := ,
space := $(subst ,, )
LIST := a,b,c
SPLIT := $(subst $(,),$(space),$(LIST))
space := $(empty) $(empty)
empty :=
FLAGS ?=
TALOSCTL_FLAGS := $(FLAGS) -tags x
FLAGS += -tags y
FLAGS += -race
EMPTY_APPEND := a
EMPTY_APPEND +=
UNDEFINED_APPEND += one
UNDEFINED_APPEND += two
APPENDED := one
APPENDED += $(LATER)
LATER = still later
FROM_ENV += more
CONTINUED := a \
	b   \
    c
NAME_$(SIMPLE) = odd
export EXPORTED = exported $(LATER)
export LATER
PATH_LENGTH := $(if $(PATH),set,unset)

all:
	@echo '[$(USERNAME)] [$(EMPTY_ENV)] [$(FROM_ENV)] [$(DOLLAR_ENV)]'
	@echo '[$(LAZY)] [$(SIMPLE)] [$(TRAILING)] [$(HASH)]'
	@echo '[$(SPLIT)] [$(space)] [$(TALOSCTL_FLAGS)] [$(FLAGS)]'
	@echo '[$(EMPTY_APPEND)] [$(UNDEFINED_APPEND)] [$(APPENDED)] [$(CONTINUED)]'
	@echo '[$(UNDEFINED)] [${LATER}] [$(PATH_LENGTH)] [$(CURDIR)] [$(MAKEFILE_LIST)] [$(MAKECMDGOALS)]'
	@env | grep -E '^(M|EXPORTED=|LATER=|FROM_ENV=|USERNAME=|LAZY=|APPENDED=|SIMPLE=|DOLLAR_ENV=|EMPTY_ENV=)' | grep -v '^MAIL' | sort

print-%:
	@echo '$* is $(if $($*),set,unset)'
