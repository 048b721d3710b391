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
