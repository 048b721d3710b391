# case: all
# case: all WITH_RACE=true
# case: all WITH_RACE=True WITH_DEBUG=yes
# case: all WITH_RACE=1 WITH_DEBUG=t OS=linux
# case: all OS=darwin
WITH_RACE ?= false
CGO_ENABLED ?= 0
LDFLAGS ?=
ifneq (, $(filter $(WITH_RACE), t true TRUE y yes 1))
CGO_ENABLED = 1
LDFLAGS += -linkmode=external -extldflags '-static'
ARCH = targetarch
endif
ifneq (, $(filter $(WITH_DEBUG), t true TRUE y yes 1))
TAGS := $(TAGS),debug
else
LDFLAGS += -s -w
ifeq ($(WITH_RACE),1)
NESTED = never
else
NESTED = inner
endif
endif
ifeq "$(OS)" "linux"
KIND = one
else ifeq ($(OS),darwin)
KIND = two
else
KIND = three
endif
ifdef OS
HAS_OS = yes
endif
ifndef OS
NO_OS = yes
endif

all:
	@echo "[$(CGO_ENABLED)] [$(LDFLAGS)] [$(ARCH)] [$(TAGS)] [$(NESTED)] [$(KIND)] [$(HAS_OS)] [$(NO_OS)]"
ifdef OS
	@echo in a recipe
endif
	@echo after
