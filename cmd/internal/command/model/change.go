package model

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

func download(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "download [NAME:VERSION]",
		Short:             "Fetch the files of a model",
		Example:           "  fairlead model download -i diabetes:1 -t ./models",
		ValidArgsFunction: s.Complete(IDs),
	}
	addID(cmd, s)
	target := cmd.Flags().StringP("target-dir", "t", ".", "folder to put the files in")
	overwrite := cmd.Flags().Bool("overwrite", false, "replace files that exist")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		m, err := get(ctx, s, cmd, args)
		if err != nil {
			return err
		}
		c, err := s.Client()
		if err != nil {
			return err
		}
		display := s.Progress("Downloading " + m.GetId())
		down := &upload.Downloader{Artefacts: c.Artefacts, Progress: func(received, total int64) {
			display.Status(output.Bytes(received) + " of " + output.Bytes(total))
		}}
		display.Step(s.Now(), "to "+*target)
		err = down.Download(ctx, m, *target, *overwrite)
		display.End(err == nil)
		if err != nil {
			return err
		}
		d := one(m)
		d.Text = func(t *output.Text) {
			for _, f := range m.GetFiles() {
				t.Linef("%s", output.Clean(f.GetPath()))
			}
		}
		return s.Print(d)
	})
	return cmd
}

func update(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "update [NAME:VERSION]",
		Short:             "Change tags and description of a model's version, add properties",
		Example:           "  fairlead model update -i diabetes:1 --add-tag stage=prod --remove-tag old",
		ValidArgsFunction: s.Complete(IDs),
	}
	addID(cmd, s)
	addTags := cmd.Flags().StringArray("add-tag", nil, "label KEY=VALUE; repeat for more")
	removeTags := cmd.Flags().StringArray("remove-tag", nil, "label KEY; repeat for more")
	addProperties := cmd.Flags().StringArray("add-property", nil, "fact KEY=VALUE; repeat for more")
	description := cmd.Flags().StringP("description", "d", "", "for people")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		labels, err := session.ReadLabels(cmd, *addTags, *removeTags, *addProperties)
		if err != nil {
			return err
		}
		if labels.Empty() && !cmd.Flags().Changed("description") {
			return session.Usagef(cmd, "nothing to change: give --add-tag, --remove-tag, --add-property or -d")
		}
		return session.OnConflict(func() error {
			m, err := get(ctx, s, cmd, args)
			if err != nil {
				return err
			}
			req := &deployv1.UpdateModelVersionRequest{
				ModelVersion: &deployv1.ModelVersion{
					Name: m.GetName(), Etag: m.GetEtag(), Description: *description,
					Tags: labels.Tags(m.GetTags()), Properties: labels.Properties(m.GetProperties()),
				},
				UpdateMask: &fieldmaskpb.FieldMask{},
			}
			req.UpdateMask.Paths = labels.Mask()
			if cmd.Flags().Changed("description") {
				req.UpdateMask.Paths = append(req.UpdateMask.Paths, "description")
			}
			c, err := s.Client()
			if err != nil {
				return err
			}
			if m, err = c.Models.UpdateModelVersion(ctx, req); err != nil {
				return err
			}
			return s.Print(one(m))
		})
	})
	return cmd
}

func remove(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "delete [NAME:VERSION]",
		Short:             "Delete a version of a model that no endpoint uses",
		Example:           "  fairlead model delete -i diabetes:1",
		ValidArgsFunction: s.Complete(IDs),
	}
	addID(cmd, s)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		m, err := get(ctx, s, cmd, args)
		if err != nil {
			return err
		}
		c, err := s.Client()
		if err != nil {
			return err
		}
		_, err = c.Models.DeleteModelVersion(ctx, &deployv1.DeleteModelVersionRequest{Name: m.GetName()})
		if err != nil {
			return err
		}
		s.Notef("deleted %s", m.GetId())
		return nil
	})
	return cmd
}
