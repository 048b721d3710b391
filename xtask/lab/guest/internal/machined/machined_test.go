// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package machined

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	cosiclient "github.com/cosi-project/runtime/pkg/state/protobuf/client"
	cosiserver "github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/container"
	configv1alpha1 "github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	cfgres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	"lab.invalid/guest/internal/kernel"
	"lab.invalid/guest/internal/node"
	"lab.invalid/guest/internal/resources"
)

// serve makes a node's API on a connection in memory.
func serve(t *testing.T) (*node.Node, *grpc.ClientConn) {
	t.Helper()

	n := node.New(kernel.ParseCmdline("a=b"), "v1.12.0")

	var err error
	if n.State, err = resources.New(t.Context()); err != nil {
		t.Fatal(err)
	}

	listener := bufconn.Listen(1 << 20)
	srv := grpc.NewServer(grpc.UnaryInterceptor(authorizeUnary), grpc.StreamInterceptor(authorizeStream))
	machine.RegisterMachineServiceServer(srv, &Server{n: n})
	v1alpha1.RegisterStateServer(srv, cosiserver.NewState(readOnly(n.State)))

	go srv.Serve(listener) //nolint:errcheck
	t.Cleanup(srv.Stop)

	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { conn.Close() }) //nolint:errcheck

	return n, conn
}

func as(t *testing.T, role string) context.Context {
	t.Helper()

	return metadata.AppendToOutgoingContext(t.Context(), "talos-role", role)
}

func TestVersionSaysWhatThisIs(t *testing.T) {
	_, conn := serve(t)

	resp, err := machine.NewMachineServiceClient(conn).Version(as(t, "os:reader"), &emptypb.Empty{})
	if err != nil {
		t.Fatal(err)
	}

	if v := resp.GetMessages()[0].GetVersion(); v.GetTag() != "v1.12.0" || v.GetSha() != "lab stand-in, not Talos" {
		t.Errorf("%v", v)
	}
}

func TestRoles(t *testing.T) {
	_, conn := serve(t)
	client := machine.NewMachineServiceClient(conn)

	for role, want := range map[string]codes.Code{"": codes.PermissionDenied, "os:nobody": codes.PermissionDenied, "os:reader": codes.OK, "os:admin": codes.OK} {
		if _, err := client.Memory(as(t, role), &emptypb.Empty{}); status.Code(err) != want {
			t.Errorf("memory as %q: %v", role, err)
		}
	}

	// No role below operator may reboot; an operator may not read files.
	if _, err := client.Reboot(as(t, "os:reader"), &machine.RebootRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("reboot as a reader: %v", err)
	}

	stream, err := client.Read(as(t, "os:operator"), &machine.ReadRequest{Path: "/etc/hostname"})
	if err == nil {
		_, err = stream.Recv()
	}

	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("read as an operator: %v", err)
	}
}

func TestResourcesByRole(t *testing.T) {
	n, conn := serve(t)
	remote := state.WrapCore(cosiclient.NewAdapter(v1alpha1.NewStateClient(conn)))

	if err := n.State.Create(t.Context(), runtime.NewKernelCmdline()); err != nil {
		t.Fatal(err)
	}

	mc := cfgres.NewMachineConfig(container.NewV1Alpha1(&configv1alpha1.Config{}))
	if err := n.State.Create(t.Context(), mc); err != nil {
		t.Fatal(err)
	}

	if _, err := safe.StateGetByID[*runtime.KernelCmdline](as(t, "os:reader"), remote, runtime.KernelCmdlineID); err != nil {
		t.Errorf("a plain resource as a reader: %v", err)
	}

	if _, err := remote.Get(as(t, "os:reader"), mc.Metadata()); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the machine config as a reader: %v", err)
	}

	if _, err := remote.Get(as(t, "os:admin"), mc.Metadata()); err != nil {
		t.Errorf("the machine config as administrator: %v", err)
	}

	if err := remote.Create(as(t, "os:admin"), runtime.NewVersion()); err == nil {
		t.Error("a client has written a resource")
	}
}

func TestLogs(t *testing.T) {
	n, conn := serve(t)
	client := machine.NewMachineServiceClient(conn)
	fmt.Fprint(n.Logs.Open("apid"), "one\ntwo\n")

	read := func(id string, tail int32) (string, error) {
		stream, err := client.Logs(as(t, "os:reader"), &machine.LogsRequest{Id: id, TailLines: tail})
		if err != nil {
			return "", err
		}

		out := ""

		for {
			data, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return out, nil
			}

			if err != nil {
				return out, err
			}

			out += string(data.GetBytes())
		}
	}

	if out, err := read("apid", 1); err != nil || out != "two\n" {
		t.Errorf("%v: %q", err, out)
	}

	if _, err := read("nope", -1); status.Code(err) != codes.Unknown {
		t.Errorf("an unknown log: %v", err)
	}
}

func TestWalk(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "a/b/c"), 0o755); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(filepath.Join(root, "a/f"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}

	for depth, want := range map[int][]string{1: {".", "a"}, 2: {".", "a", "a/b", "a/f"}, -1: {".", "a", "a/b", "a/b/c", "a/f"}} {
		var got []string

		if err := walk(root, depth, func(_, rel string, _ fs.FileInfo, err error) error {
			got = append(got, rel)

			return err
		}); err != nil || !slices.Equal(got, want) {
			t.Errorf("depth %d: %v %v", depth, got, err)
		}
	}

	var got []string

	walk(filepath.Join(root, "a/f"), 1, func(_, rel string, _ fs.FileInfo, _ error) error { got = append(got, rel); return nil }) //nolint:errcheck
	walk(filepath.Join(root, "gone"), 1, func(_, rel string, info fs.FileInfo, err error) error {                                 //nolint:errcheck
		if info != nil || err == nil {
			t.Error("a file that is not there was found")
		}

		return nil
	})

	if !slices.Equal(got, []string{"f"}) {
		t.Errorf("a single file: %v", got)
	}
}
