// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package machined

import (
	"context"
	"log"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"lab.invalid/guest/internal/node"
)

// Upgrade records what was asked for and starts the upgrade sequence.
func (s *Server) Upgrade(_ context.Context, in *machine.UpgradeRequest) (*machine.UpgradeResponse, error) {
	ctx, id := actor()

	if err := s.n.Actions.Upgrade(ctx, in); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	return &machine.UpgradeResponse{Messages: []*machine.Upgrade{{Ack: "Upgrade request received", ActorId: id}}}, nil
}

// lifecycle is how talosctl 1.13 and newer upgrade: without a sequence and without a reboot, which they ask for afterwards
// (internal/app/lifecycle in Talos 1.13).
type lifecycle struct {
	machine.UnimplementedLifecycleServiceServer

	n *node.Node
}

type upgradeStream = grpc.ServerStreamingServer[machine.LifecycleServiceUpgradeResponse]

// Upgrade records what was asked for.
func (l *lifecycle) Upgrade(in *machine.LifecycleServiceUpgradeRequest, stream upgradeStream) error {
	image := in.GetSource().GetImageName()
	if image == "" {
		return status.Error(codes.InvalidArgument, "an installer image is needed")
	}

	if err := stream.Send(&machine.LifecycleServiceUpgradeResponse{Progress: &machine.LifecycleServiceInstallProgress{
		Response: &machine.LifecycleServiceInstallProgress_Message{Message: "lab stand-in: the request is recorded, nothing is installed"},
	}}); err != nil {
		return err
	}

	if err := l.n.Actions.Record(stream.Context(), "lifecycle", &machine.UpgradeRequest{Image: image}); err != nil {
		return status.Error(codes.Internal, err.Error())
	}

	return stream.Send(&machine.LifecycleServiceUpgradeResponse{Progress: &machine.LifecycleServiceInstallProgress{
		Response: &machine.LifecycleServiceInstallProgress_ExitCode{ExitCode: 0},
	}})
}

// images looks images up and keeps none.
type images struct {
	machine.UnimplementedImageServiceServer

	n *node.Node
}

// Pull answers with the image and its digest, if a registry has it.
func (i *images) Pull(in *machine.ImageServicePullRequest, stream grpc.ServerStreamingServer[machine.ImageServicePullResponse]) error {
	digest, err := i.n.Actions.Resolve(stream.Context(), in.GetImageRef())
	if err != nil {
		return status.Error(codes.NotFound, err.Error())
	}

	name := in.GetImageRef() + " (lab stand-in: not pulled)"
	if digest != "" {
		name = in.GetImageRef() + "@" + digest + " (lab stand-in: found, not pulled)"
	}

	return stream.Send(&machine.ImageServicePullResponse{Response: &machine.ImageServicePullResponse_Name{Name: name}})
}

// ImagePull is how talosctl up to 1.12 pulls. Unlike an upgrade it must not go on without the image: nothing else comes of it.
func (s *Server) ImagePull(ctx context.Context, in *machine.ImagePullRequest) (*machine.ImagePullResponse, error) {
	digest, err := s.n.Actions.Resolve(ctx, in.GetReference())

	switch {
	case err != nil:
		return nil, status.Error(codes.NotFound, err.Error())
	case digest == "":
		return nil, status.Errorf(codes.NotFound, "failed to resolve reference %q: no registry of the machine config has it", in.GetReference())
	}

	log.Printf("image pull of %q: found as %s (lab stand-in: not pulled)", in.GetReference(), digest)

	return &machine.ImagePullResponse{Messages: []*machine.ImagePull{{}}}, nil
}
