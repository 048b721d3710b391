# file: source.txt
# case: out/copy
# case: out/copy out/copy
# case: out/copy touch out/copy-again
# case: twice
# case: order
# case: release TALOS_RELEASE=v1.0.0
# case: release-artifacts
# case: plain
# case: through
OUT := out

all: $(OUT)/copy

$(OUT):
	@echo mkdir; mkdir -p $(OUT)

$(OUT)/copy: source.txt | $(OUT)
	@echo copying; cp source.txt $@

$(OUT)/copy-again: $(OUT)/copy
	@echo again; cp $< $@

.PHONY: touch
touch:
	@sleep 0.02; echo newer > source.txt

twice: $(OUT)/copy
	@$(MAKE) $(OUT)/copy
	@sleep 0.02; touch source.txt
	@$(MAKE) $(OUT)/copy $(OUT)/copy-again
	@$(MAKE) $(OUT)/copy-again

order: | $(OUT)/copy $(OUT)
	@echo ordered

.PHONY: $(OUT)/$(TALOS_RELEASE)
$(OUT)/$(TALOS_RELEASE): $(OUT)/$(TALOS_RELEASE)/vmlinuz $(OUT)/$(TALOS_RELEASE)/initramfs.xz

$(OUT)/$(TALOS_RELEASE)/%: | $(OUT)
	@mkdir -p $(OUT)/$(TALOS_RELEASE)/
	@case "$*" in \
		vmlinuz) echo kernel; touch $@ ;; \
		initramfs.xz) echo initramfs; touch $@ ;; \
	esac

.PHONY: release
release: $(OUT)/$(TALOS_RELEASE)
	@ls $(OUT)/$(TALOS_RELEASE)

release-artifacts: | $(OUT)
	@set -e; \
	for release in v1 v2; do \
		$(MAKE) $(OUT)/$$release TALOS_RELEASE=$$release; \
	done
	@ls $(OUT)/v1 $(OUT)/v2

plain: grouping
	@echo plain

grouping: $(OUT)/copy

through: fresh
	@$(MAKE) fresh

fresh: grouping
	@echo fresh; touch fresh
