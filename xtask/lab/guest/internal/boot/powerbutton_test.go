// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package boot

import (
	"testing"

	"github.com/mdlayher/netlink"
)

// event is `struct acpi_genl_event` as the attribute ACPI_GENL_ATTR_EVENT: a class of 20 bytes, a bus id of 15, type and data.
func event(t *testing.T, class string) []byte {
	t.Helper()

	raw := make([]byte, 44)
	copy(raw, class)
	copy(raw[20:], "LNXPWRBN:00")

	data, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: 1, Data: raw}})
	if err != nil {
		t.Fatal(err)
	}

	return data
}

func TestOnlyThePowerButtonEndsTheNode(t *testing.T) {
	if !isPowerButton(event(t, "button/power")) {
		t.Error("the power button is not recognized")
	}

	for _, class := range []string{"button/sleep", "ac_adapter", "processor"} {
		if isPowerButton(event(t, class)) {
			t.Errorf("%s is taken for the power button", class)
		}
	}

	if isPowerButton([]byte("button/power")) {
		t.Error("bytes other than attributes are taken for the power button")
	}
}
