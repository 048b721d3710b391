# case: image-aws
# case: image-list
# case: images
# case: lint-go lint-fmt lint
# case: e2e-docker
# case: a b
# case: deep/er-x
# case: print-A-B
# case: dep-x
# case: kernel-olddefconfig kernel-menuconfig
# case: merged
# case: none-
TARGETS = a
TARGETS += b
OTHERS := c d
IMAGES := image-aws image-gcp

image-%: ## An image.
	@echo image $* as $@

.PHONY: image-list
image-list:
	@echo list

images: $(IMAGES)

lint-%:
	@echo linting $*

lint: lint-go lint-more
	@echo linted

.PHONY: lint-fmt
lint-fmt:
	@echo formatting

e2e-%: tool-$(ARCH) external
	@echo e2e $* with $^

tool-:
	@echo tool

external: ; @echo external

.PHONY: $(TARGETS) $(OTHERS)
$(TARGETS) $(OTHERS): tool
	@echo $@ $(OTHERS:c=z) $(TARGETS:%=<%>)

tool:
	@echo making tool

er-%:
	@echo '$* in $@'

print-%-B: ; @echo 'short $*'

print-%: ; @echo 'long $*'

dep-%: pre-%-post
	@echo $@ after $<

pre-x-post:
	@echo pre

kernel-olddefconfig:
	@echo explicit

kernel-%:
	@echo pattern $*

merged: one
merged: two
	@echo $^
merged: three
one two three: ; @echo $@
