"""What the tests of the judge share: waveforms, and the fleet model's answer to them as traces."""
