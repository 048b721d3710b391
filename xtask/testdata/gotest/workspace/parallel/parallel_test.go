// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package parallel_test

import (
	"fmt"
	"testing"
	"time"
)

func TestMany(t *testing.T) {
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			fmt.Printf("from %d, ", i)
			time.Sleep(time.Millisecond)

			if i == 5 {
				t.Error("five")
			}
		})
	}
}
