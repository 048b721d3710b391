// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package ok_test

import "testing"

// TestSameName is in a package of the same name as another.
func TestSameName(t *testing.T) {}
