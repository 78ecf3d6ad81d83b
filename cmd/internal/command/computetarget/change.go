package computetarget

import (
	"context"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/session"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
)

// addPurpose adds --cluster-purpose.
func addPurpose(cmd *cobra.Command) *string {
	purpose := cmd.Flags().String("cluster-purpose", "FastProd", "FastProd (at least 12 vCPU and 3 nodes) or DevTest")
	_ = cmd.RegisterFlagCompletionFunc("cluster-purpose",
		cobra.FixedCompletions([]string{"FastProd", "DevTest"}, cobra.ShellCompDirectiveNoFileComp))
	return purpose
}

func readPurpose(cmd *cobra.Command, word string) (computev1.ComputeTarget_Purpose, error) {
	switch strings.ToLower(word) {
	case "fastprod":
		return computev1.ComputeTarget_PURPOSE_FAST_PROD, nil
	case "devtest":
		return computev1.ComputeTarget_PURPOSE_DEV_TEST, nil
	}
	return 0, session.Usagef(cmd, "--cluster-purpose %s: must be FastProd or DevTest", word)
}

// inFlags names what is wrong with a target by the flags that gave it.
func inFlags(err error) error {
	return failure.InFlags(err, map[string]string{
		"compute_target_id": "-n", "compute_target.node_count": "-a", "compute_target.node_size": "-s",
		"compute_target.purpose": "--cluster-purpose", "compute_target.description": "-d", "compute_target.tags": "--tag",
		"purpose": "--cluster-purpose", "cluster_id": "-i", "description": "-d", "tags": "--tag",
	})
}

func create(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a cluster of declared nodes on this machine",
		Example: "  fairlead computetarget create -n team-a -a 3 -s Standard_D3_v2\n" +
			"  fairlead computetarget create -n tests -a 1 --cluster-purpose DevTest",
		Args: session.NoArgs,
	}
	addName(s, cmd)
	req := &computev1.CreateComputeTargetRequest{ComputeTarget: &computev1.ComputeTarget{}}
	fs := cmd.Flags()
	fs.Int32VarP(&req.ComputeTarget.NodeCount, "agent-count", "a", 3, "number of nodes")
	fs.StringVarP(&req.ComputeTarget.NodeSize, "vm-size", "s", "", "`SIZE` of each node, one of \"fairlead computetarget sizes\"; default Standard_D3_v2")
	fs.StringVarP(&req.ComputeTarget.Description, "description", "d", "", "for people")
	tags := fs.StringArray("tag", nil, "label KEY=VALUE; repeat for more")
	purpose := addPurpose(cmd)
	fs.BoolVar(&req.ValidateOnly, "validate-only", false, "check everything, create nothing, show what would be")
	noWait := fs.Bool("no-wait", false, "print the operation and do not wait for it")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) (err error) {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		if req.ComputeTarget.Purpose, err = readPurpose(cmd, *purpose); err != nil {
			return err
		}
		if req.ComputeTarget.Tags, err = session.Pairs(cmd, "tag", *tags); err != nil {
			return err
		}
		req.Parent, req.ComputeTargetId, req.RequestId = t.parent(), t.id, client.NewRequestID()
		op, err := t.client.ComputeTargets.CreateComputeTarget(ctx, req)
		if err != nil {
			return inFlags(err)
		}
		return finish(ctx, s, op, "Creating "+t.id, *noWait)
	})
	s.CompleteFlag(cmd, "vm-size", sizeNames)
	return cmd
}

func attach(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "attach",
		Short:   "Attach a cluster that was detached",
		Example: "  fairlead computetarget attach -n team-a -i CLUSTER-ID",
		Args:    session.NoArgs,
	}
	addName(s, cmd)
	req := &computev1.AttachComputeTargetRequest{}
	fs := cmd.Flags()
	fs.StringVarP(&req.ClusterId, "compute-resource-id", "i", "", "the cluster's `ID`, as \"computetarget show\" and \"detach\" give it")
	fs.StringVarP(&req.Description, "description", "d", "", "for people")
	tags := fs.StringArray("tag", nil, "label KEY=VALUE; repeat for more")
	purpose := addPurpose(cmd)
	fs.BoolVar(&req.ValidateOnly, "validate-only", false, "check everything, change nothing, show what would be")
	noWait := fs.Bool("no-wait", false, "print the operation and do not wait for it")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) (err error) {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		if err := session.Required(cmd, "compute-resource-id"); err != nil {
			return err
		}
		if req.Purpose, err = readPurpose(cmd, *purpose); err != nil {
			return err
		}
		if req.Tags, err = session.Pairs(cmd, "tag", *tags); err != nil {
			return err
		}
		req.Parent, req.ComputeTargetId, req.RequestId = t.parent(), t.id, client.NewRequestID()
		op, err := t.client.ComputeTargets.AttachComputeTarget(ctx, req)
		if err != nil {
			return inFlags(err)
		}
		return finish(ctx, s, op, "Attaching "+t.id, *noWait)
	})
	return cmd
}

func update(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "update [NAME]",
		Aliases: []string{"scale"},
		Short:   "Change the number of nodes, tags or description",
		Example: "  fairlead computetarget update -n team-a -a 5",
	}
	addName(s, cmd)
	fs := cmd.Flags()
	count := fs.Int32P("agent-count", "a", 0, "number of nodes")
	description := fs.StringP("description", "d", "", "for people")
	addTags := fs.StringArray("add-tag", nil, "label KEY=VALUE; repeat for more")
	removeTags := fs.StringArray("remove-tag", nil, "label KEY; repeat for more")
	noWait := fs.Bool("no-wait", false, "print the operation and do not wait for it")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		labels, err := session.ReadLabels(cmd, *addTags, *removeTags, nil)
		if err != nil {
			return err
		}
		paths := labels.Mask()
		if fs.Changed("agent-count") {
			paths = append(paths, "node_count")
		}
		if fs.Changed("description") {
			paths = append(paths, "description")
		}
		if len(paths) == 0 {
			return session.Usagef(cmd, "nothing to change: give -a, --add-tag, --remove-tag or -d")
		}
		return session.OnConflict(func() error {
			now, err := t.get(ctx)
			if err != nil {
				return err
			}
			op, err := t.client.ComputeTargets.UpdateComputeTarget(ctx, &computev1.UpdateComputeTargetRequest{
				ComputeTarget: &computev1.ComputeTarget{
					Name: t.name, Etag: now.GetEtag(), NodeCount: *count, Description: *description, Tags: labels.Tags(now.GetTags()),
				},
				UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}, RequestId: client.NewRequestID(),
			})
			if err != nil {
				return inFlags(err)
			}
			return finish(ctx, s, op, "Updating "+t.id, *noWait)
		})
	})
	return cmd
}

// finish waits for an operation that makes or changes a target, and shows the target.
func finish(ctx context.Context, s *session.Session, op *longrunningpb.Operation, title string, noWait bool) error {
	done, err := s.Finish(ctx, op, title, noWait)
	if err != nil || done == nil {
		return err
	}
	m, err := done.GetResponse().UnmarshalNew()
	if err != nil {
		return err
	}
	if c, ok := m.(*computev1.ComputeTarget); ok {
		return s.Print(document(c))
	}
	return nil
}

func detach(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "detach [NAME]",
		Short:   "End the association with a cluster, which stays and can be attached again",
		Example: "  fairlead computetarget detach -n team-a",
	}
	addName(s, cmd)
	noWait := cmd.Flags().Bool("no-wait", false, "print the operation and do not wait for it")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		now, err := t.get(ctx)
		if err != nil {
			return err
		}
		op, err := t.client.ComputeTargets.DetachComputeTarget(ctx, &computev1.DetachComputeTargetRequest{
			Name: t.name, RequestId: client.NewRequestID(),
		})
		if err != nil {
			return err
		}
		done, err := s.Finish(ctx, op, "Detaching "+t.id, *noWait)
		if err == nil && done != nil {
			s.Notef("detached %s\nnext: fairlead computetarget attach -n %s -i %s", t.id, t.id, now.GetClusterId())
		}
		return err
	})
	return cmd
}

func remove(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete [NAME]",
		Short:   "Delete a compute target and the cluster that was created for it",
		Example: "  fairlead computetarget delete -n team-a",
	}
	addName(s, cmd)
	noWait := cmd.Flags().Bool("no-wait", false, "print the operation and do not wait for it")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		op, err := t.client.ComputeTargets.DeleteComputeTarget(ctx, &computev1.DeleteComputeTargetRequest{
			Name: t.name, RequestId: client.NewRequestID(),
		})
		if err != nil {
			return err
		}
		done, err := s.Finish(ctx, op, "Deleting "+t.id, *noWait)
		if err == nil && done != nil {
			s.Notef("deleted %s", t.id)
		}
		return err
	})
	return cmd
}
