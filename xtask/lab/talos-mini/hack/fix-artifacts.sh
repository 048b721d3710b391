#!/usr/bin/env bash
# For more than one platform buildx makes a folder for each.
set -e
if [[ "$PLATFORM" == *,* ]]; then
	for platform in ${PLATFORM//,/ }; do
		dir=$ARTIFACTS/${platform//\//_}
		[ ! -d "$dir" ] || { mv "$dir"/* "$ARTIFACTS"/ && rmdir "$dir"; }
	done
fi
