package endpoint

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

func remove(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete [NAME]",
		Short:   "Delete an endpoint with all its versions and keys",
		Example: "  fairlead endpoint delete -n diabetes",
	}
	addName(s, cmd)
	noWait := cmd.Flags().Bool("no-wait", false, "print the operation and do not wait for it")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		op, err := t.client.Endpoints.DeleteEndpoint(ctx, &deployv1.DeleteEndpointRequest{
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

func keys(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "get-keys [NAME]",
		Short:   "Show the two keys of an endpoint",
		Example: "  fairlead endpoint get-keys -n diabetes -o json",
	}
	addName(s, cmd)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		k, err := t.client.EndpointKeys.ListEndpointKeys(ctx, &authv1.ListEndpointKeysRequest{Name: t.name})
		if err != nil {
			return err
		}
		return s.Print(keysDocument(k))
	})
	return cmd
}

func regenerateKey(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "regen-key [NAME]",
		Short: "Replace one key of an endpoint; the other stays valid",
		Example: "  fairlead endpoint regen-key -n diabetes -k Primary\n" +
			"  fairlead endpoint regen-key -n diabetes -k Secondary -s my-own-key-of-16-characters",
	}
	addName(s, cmd)
	which := cmd.Flags().StringP("key", "k", "", "Primary or Secondary")
	value := cmd.Flags().StringP("set-key", "s", "", "the new value; default a random one")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		kind, ok := authv1.KeyType_value["KEY_TYPE_"+strings.ToUpper(*which)]
		if !ok || kind == 0 {
			return session.Usagef(cmd, "-k must be Primary or Secondary")
		}
		k, err := t.client.EndpointKeys.RegenerateEndpointKey(ctx, &authv1.RegenerateEndpointKeyRequest{
			Name: t.name, KeyType: authv1.KeyType(kind), KeyValue: *value, RequestId: client.NewRequestID(),
		})
		if err != nil {
			return err
		}
		return s.Print(keysDocument(k))
	})
	_ = cmd.RegisterFlagCompletionFunc("key", cobra.FixedCompletions([]string{"Primary", "Secondary"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func keysDocument(k *authv1.EndpointKeys) output.Document {
	return output.Document{
		Value: k,
		Names: []string{k.GetPrimaryKey(), k.GetSecondaryKey()},
		Text: func(t *output.Text) {
			t.Facts(output.Fact{Name: "Primary", Value: k.GetPrimaryKey()}, output.Fact{Name: "Secondary", Value: k.GetSecondaryKey()})
		},
	}
}

// settlePoll is how often `endpoint wait` looks.
const settlePoll = 500 * time.Millisecond

func wait(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "wait [NAME]",
		Short:   "Wait until an endpoint is healthy",
		Long:    "Waits until all that is wanted of an endpoint is healthy. Exit code 1 when it fails, 124 when --timeout ends it.",
		Example: "  fairlead endpoint wait -n diabetes --timeout 2m",
	}
	addName(s, cmd)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		e, err := settle(ctx, s, t)
		if err != nil {
			return err
		}
		if err := s.Print(document(e)); err != nil {
			return err
		}
		if e.GetState() == deployv1.State_STATE_FAILED {
			return failure.New(failure.Error, "endpoint %s has failed: %s", t.id, e.GetStateMessage()).
				ThenTry("fairlead endpoint get-logs -n " + t.id)
		}
		return nil
	})
	return cmd
}

// settle reads the endpoint until it is healthy or cannot become so.
func settle(ctx context.Context, s *session.Session, t target) (*deployv1.Endpoint, error) {
	display := s.Progress("Waiting for " + t.id)
	ticker := time.NewTicker(settlePoll)
	defer ticker.Stop()
	shown := ""
	for {
		e, err := t.client.Endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: t.name})
		if err != nil {
			display.End(false)
			return nil, err
		}
		if now := strings.TrimSpace(output.Word(e.GetState(), "STATE_") + " " + e.GetStateMessage()); now != shown {
			shown = now
			display.Step(s.Now(), now)
		}
		switch e.GetState() {
		case deployv1.State_STATE_HEALTHY:
			if e.GetObservedGeneration() >= e.GetGeneration() {
				display.End(true)
				return e, nil
			}
		case deployv1.State_STATE_FAILED:
			display.End(false)
			return e, nil
		default: // on its way, or it may yet become healthy
		}
		select {
		case <-ctx.Done():
			display.End(false)
			return nil, context.Cause(ctx)
		case <-ticker.C:
		}
	}
}
