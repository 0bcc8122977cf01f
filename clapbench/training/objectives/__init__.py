"""What a training minimises, to which regularisers are added."""
