package auth

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

func servicePrincipals(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{
		Use:     "service-principal",
		Aliases: []string{"sp"},
		Short:   "Look after the programs that call the control plane, and their secrets",
	}, listPrincipals(s), createPrincipal(s), deletePrincipal(s), createSecret(s), deleteSecret(s))
}

// principal reads -n, or the argument, and connects.
func principal(s *session.Session, cmd *cobra.Command, args []string) (*client.Client, string, error) {
	id, err := session.One(cmd, "name", "service principal", args)
	if err != nil {
		return nil, "", err
	}
	c, err := s.Client()
	return c, resourcename.Format("servicePrincipals", resourcename.Last(id)), err
}

func listPrincipals(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List service principals",
		Example: "  fairlead auth service-principal list", Args: session.NoArgs,
	}
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		c, err := s.Client()
		if err != nil {
			return err
		}
		all, err := c.AllServicePrincipals(ctx)
		if err != nil {
			return err
		}
		d := output.Document{List: []proto.Message{}}
		var rows [][]string
		for _, p := range all {
			id := resourcename.Last(p.GetName())
			d.List, d.Names = append(d.List, p), append(d.Names, id)
			rows = append(rows, []string{id, p.GetPrincipal(), strconv.Itoa(len(p.GetSecrets())), output.OrDash(p.GetDescription())})
		}
		d.Text = func(t *output.Text) { t.Table([]string{"NAME", "PRINCIPAL", "SECRETS", "DESCRIPTION"}, rows) }
		return s.Print(d)
	})
	return cmd
}

func createPrincipal(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create [NAME]", Short: "Create a service principal",
		Example: "  fairlead auth service-principal create -n pipeline",
	}
	cmd.Flags().StringP("name", "n", "", "the service principal")
	description := cmd.Flags().StringP("description", "d", "", "for people")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		c, name, err := principal(s, cmd, args)
		if err != nil {
			return err
		}
		made, err := c.ServicePrincipals.CreateServicePrincipal(ctx, &authv1.CreateServicePrincipalRequest{
			ServicePrincipalId: resourcename.Last(name), ServicePrincipal: &authv1.ServicePrincipal{Description: *description},
		})
		if err != nil {
			return err
		}
		id := resourcename.Last(made.GetName())
		return s.Print(output.Document{Value: made, Names: []string{id}, Text: func(t *output.Text) {
			t.Linef("created %s; make a secret with: fairlead auth service-principal create-secret -n %s", made.GetPrincipal(), id)
		}})
	})
	return cmd
}

func deletePrincipal(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete [NAME]", Short: "Delete a service principal with its secrets and roles",
		Example: "  fairlead auth service-principal delete -n pipeline",
	}
	cmd.Flags().StringP("name", "n", "", "the service principal")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		c, name, err := principal(s, cmd, args)
		if err != nil {
			return err
		}
		_, err = c.ServicePrincipals.DeleteServicePrincipal(ctx, &authv1.DeleteServicePrincipalRequest{Name: name})
		if err == nil {
			s.Notef("deleted %s", resourcename.Last(name))
		}
		return err
	})
	return cmd
}

func createSecret(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create-secret [NAME]", Short: "Make a secret of a service principal; it is shown once",
		Example: "  fairlead auth service-principal create-secret -n pipeline --lifetime 2160h -o json",
	}
	cmd.Flags().StringP("name", "n", "", "the service principal")
	lifetime := cmd.Flags().Duration("lifetime", 0, "how long it is to be valid; 0 means without end")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		c, name, err := principal(s, cmd, args)
		if err != nil {
			return err
		}
		req := &authv1.CreateServicePrincipalSecretRequest{Parent: name}
		if *lifetime != 0 {
			req.Lifetime = durationpb.New(*lifetime)
		}
		made, err := c.ServicePrincipals.CreateServicePrincipalSecret(ctx, req)
		if err != nil {
			return err
		}
		return s.Print(output.Document{Value: made, Names: []string{resourcename.Last(made.GetName())}, Text: func(t *output.Text) {
			t.Facts(
				output.Fact{Name: "Name", Value: resourcename.Last(made.GetName())},
				output.Fact{Name: "Secret", Value: made.GetSecret()},
				output.Fact{Name: "Expires", Value: output.Time(made.GetExpireTime())},
			)
		}})
	})
	return cmd
}

func deleteSecret(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete-secret [NAME]", Short: "Make a secret of a service principal invalid",
		Example: "  fairlead auth service-principal delete-secret -n pipeline --secret 1f2e3d4c5b6a7988",
	}
	cmd.Flags().StringP("name", "n", "", "the service principal")
	secret := cmd.Flags().String("secret", "", "the secret's name, as create-secret and list -o json show it")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		if err := session.Required(cmd, "secret"); err != nil {
			return err
		}
		c, name, err := principal(s, cmd, args)
		if err != nil {
			return err
		}
		full := resourcename.Format(name, "secrets", resourcename.Last(*secret))
		_, err = c.ServicePrincipals.DeleteServicePrincipalSecret(ctx, &authv1.DeleteServicePrincipalSecretRequest{Name: full})
		if err == nil {
			s.Notef("deleted secret %s", resourcename.Last(full))
		}
		return err
	})
	return cmd
}
