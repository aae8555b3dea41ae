output "host" {
  description = "Host of the writer; it follows a failover."
  value       = local.aurora ? aws_rds_cluster.this[0].endpoint : aws_db_instance.this[0].address
}

output "metric_dimensions" {
  description = "Dimensions of CloudWatch's metrics of the writer."
  value       = local.aurora ? { DBClusterIdentifier = aws_rds_cluster.this[0].cluster_identifier, Role = "WRITER" } : { DBInstanceIdentifier = aws_db_instance.this[0].identifier }
}
