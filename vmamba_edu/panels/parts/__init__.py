"""What panels are put together from: a player, a bar for long work, strips of a clip, a page that plays offline."""
