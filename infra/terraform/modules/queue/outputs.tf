output "cluster_arn" {
  description = "ARN of the cluster."
  value       = aws_msk_cluster.this.arn
}

output "cluster_name" {
  description = "Name of the cluster, as metrics have it."
  value       = aws_msk_cluster.this.cluster_name
}

output "bootstrap_brokers" {
  description = "Brokers to begin with, host:port, separated by commas."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_scram

  # Who connects before the association gets "authentication failed".
  depends_on = [aws_msk_scram_secret_association.this]
}
