# case: all
# case: all LIST='a.c  b/c.c d' EMPTY=
LIST ?= one.c two.o a/b.c one.c
EMPTY :=
all:
	@echo '[$(strip  a   b )] [$(filter %.c,$(LIST))] [$(filter-out %.c one,$(LIST))] [$(sort $(LIST))]'
	@echo '[$(words $(LIST))] [$(word 2,$(LIST))] [$(firstword $(LIST))] [$(lastword $(LIST))] [$(word 99,$(LIST))]'
	@echo '[$(patsubst %.c,%.o,$(LIST))] [$(LIST:.c=.d)] [$(LIST:%.c=<%>)] [$(subst o,0,$(LIST))] [$(patsubst one.c,x,$(LIST))]'
	@echo '[$(addprefix p-,$(LIST))] [$(addsuffix -s,$(LIST))] [$(dir $(LIST))] [$(notdir $(LIST))]'
	@echo '[$(findstring two,$(LIST))] [$(findstring nope,$(LIST))]'
	@echo '[$(if $(EMPTY),yes,no)] [$(if x,yes)] [$(if ,yes)] [$(and a,$(EMPTY),b)] [$(and a,b)] [$(or $(EMPTY),b,c)] [$(or ,)]'
	@echo '[$(foreach x,a b c,$(x)$(x:%=<%>))] [$(foreach y,$(LIST),$(notdir $(y)))]'
	@echo '[$(subst a,(b,c),a)] [$$HOME] [$(strip $(subst ,, ))]'
