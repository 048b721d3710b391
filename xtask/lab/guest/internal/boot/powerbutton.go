// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package boot

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
)

// The kernel's names for the source of ACPI events (drivers/acpi/event.c) and for its one group.
const (
	acpiFamily = "acpi_event"
	acpiGroup  = "acpi_mc_group"
)

// powerButton is how events of the button begin (drivers/acpi/button.c); they come from the module `button`.
const powerButton = "button/power"

// powerOff shuts the node down when its power button is pressed, which is what `system_powerdown` in QEMU's monitor does
// (internal/app/machined/pkg/runtime/v1alpha1/acpi).
func (m *Machine) powerOff(ctx context.Context) {
	if err := waitForPowerButton(); err != nil {
		log.Printf("WARNING: ACPI events will be ignored: %s", err)

		return
	}

	log.Printf("shutdown via ACPI received")
	m.Shutdown(ctx, &machine.ShutdownRequest{Force: true})
}

func waitForPowerButton() error {
	conn, err := genetlink.Dial(nil)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck

	family, err := conn.GetFamily(acpiFamily)
	if err != nil {
		return fmt.Errorf("%s: %w", acpiFamily, err)
	}

	for _, group := range family.Groups {
		if group.Name == acpiGroup {
			if err = conn.JoinGroup(group.ID); err != nil {
				return err
			}
		}
	}

	for {
		messages, _, err := conn.Receive()
		if err != nil {
			return err
		}

		for _, message := range messages {
			if isPowerButton(message.Data) {
				return nil
			}
		}
	}
}

// isPowerButton tells whether one of the attributes is an event of the power button.
func isPowerButton(data []byte) bool {
	attributes, err := netlink.UnmarshalAttributes(data)
	if err != nil {
		return false
	}

	for _, attribute := range attributes {
		if strings.HasPrefix(string(attribute.Data), powerButton) {
			return true
		}
	}

	return false
}
