"""The stages that a reported alert passes through, one small module each; reports and a world enter, changes leave."""
